"""The one place that turns a recipe into objects.

run = build(load_recipe("recipes/quickstart/recipe.yaml"))
run.suite.names
"""

from __future__ import annotations

from dataclasses import dataclass

from datasets import Dataset

from hf_mtl.data import Chat, PromptCompletion
from hf_mtl.errors import ConfigError
from hf_mtl.recipe.arguments import training_arguments
from hf_mtl.recipe.checks import first_rows, template_of
from hf_mtl.recipe.peft_configs import peft_config
from hf_mtl.recipe.schema import Recipe, TaskSpec
from hf_mtl.tasks import Task, TaskSuite
from hf_mtl.training import MultiTaskTrainingArguments

__all__ = ["Run", "build", "build_task"]


@dataclass(frozen=True)
class Run:
    """What a recipe says, as objects; nothing is loaded on a device yet.

    Args:
        recipe: The recipe itself.
        source: Where the base's weights come from: a Hub id, a folder or `asset:NAME`.
        suite: The tasks with their rows.
        args: The training arguments.
    """

    recipe: Recipe
    source: str
    suite: TaskSuite
    args: MultiTaskTrainingArguments


def build(recipe: Recipe) -> Run:
    """Build a run from a recipe that `load_recipe` has checked.

    Raises:
        ConfigError: transformers refuses a combination of training arguments.
        DataError: A data file is gone or broken.
    """
    tasks = [
        build_task(
            name,
            spec,
            train=_rows(spec.train, spec.max_train_rows),
            eval=_rows(spec.eval, spec.max_eval_rows),
        )
        for name, spec in recipe.tasks.items()
    ]
    return Run(
        recipe=recipe,
        source=recipe.model.source or recipe.model.id,
        suite=TaskSuite(tasks),
        args=training_arguments(recipe.training, recipe.output_dir),
    )


def build_task(name: str, spec: TaskSpec, *, train: Dataset | None, eval: Dataset | None) -> Task:
    """Build the task `name` with the given rows."""
    return Task(
        name,
        train=train,
        eval=eval,
        template=_template(spec),
        labels=spec.labels,
        adapter=peft_config(spec.adapter) if spec.adapter else None,
        metrics=spec.metrics,
        max_length=spec.max_length,
        batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        num_train_epochs=spec.num_train_epochs,
        max_steps=spec.max_steps,
        lr_scheduler_type=spec.lr_scheduler_type,
        warmup_steps=spec.warmup_steps,
        weight_decay=spec.weight_decay,
        max_grad_norm=spec.max_grad_norm,
        gradient_accumulation_steps=spec.gradient_accumulation_steps,
        optim=spec.optim,
        adam_beta1=spec.adam_beta1,
        adam_beta2=spec.adam_beta2,
        adam_epsilon=spec.adam_epsilon,
        metric_for_best_model=spec.metric_for_best_model,
        greater_is_better=spec.greater_is_better,
        early_stopping_patience=spec.early_stopping_patience,
    )


def _rows(path: str | None, most: int | None) -> Dataset | None:
    return None if path is None else first_rows(path, most)


def _template(spec: TaskSpec) -> PromptCompletion | Chat:
    if spec.template is None:
        raise ConfigError("template is missing; `load_recipe` checks recipes before they are built.")
    return template_of(spec.template)
