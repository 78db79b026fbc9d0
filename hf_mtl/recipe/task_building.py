"""From a task of a recipe to a `Task`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.recipe.declared import kind_of_spec, metrics_of, template_of
from hf_mtl.recipe.schema import TaskSpec
from hf_mtl.tasks import Task

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from peft import PeftConfig

    from hf_mtl.data import RowTable

__all__ = ["build_task"]


def build_task(
    name: str,
    spec: TaskSpec,
    *,
    train: Dataset | IterableDataset | RowTable | None,
    eval: Dataset | RowTable | None,
) -> Task:
    """Build the task `name` with the given rows."""
    return Task(
        name,
        train=train,
        eval=eval,
        kind=None if spec.kind is None and spec.template is None else kind_of_spec(spec),
        columns=spec.columns,
        template=None if spec.template is None else template_of(spec.template),
        labels=spec.labels,
        adapter=_adapter(spec),
        metrics=metrics_of(spec),
        max_length=spec.max_length,
        on_bad_row=spec.on_bad_row,
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


def _adapter(spec: TaskSpec) -> PeftConfig | None:
    if not spec.adapter:
        return None
    from hf_mtl.recipe.peft_configs import peft_config

    return peft_config(spec.adapter)
