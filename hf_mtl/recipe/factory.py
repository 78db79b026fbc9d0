"""The one place that turns a recipe into objects.

run = build(load_recipe("recipes/quickstart/recipe.yaml"))
run.suite.names
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset

from hf_mtl.data.read_once import reading_once
from hf_mtl.errors import ConfigError
from hf_mtl.recipe.arguments import training_arguments
from hf_mtl.recipe.recognised import is_encoder_decoder, is_open, recognised
from hf_mtl.recipe.rows import rows_of, source_rows
from hf_mtl.recipe.schema import ModelSpec, Recipe, TaskSpec
from hf_mtl.recipe.task_building import build_task
from hf_mtl.tasks import TaskSuite
from hf_mtl.training import MultiTaskTrainingArguments

__all__ = ["Run", "build"]


@dataclass(frozen=True)
class Run:
    """What a recipe says, as objects; nothing is loaded on a device yet.

    Args:
        recipe: The recipe itself, with what was recognised in the rows.
        source: Where the base's weights come from: a Hub id, a folder or `asset:NAME`.
        suite: The tasks with their rows.
        tests: By task, the rows to measure on once, after training.
        args: The training arguments.
    """

    recipe: Recipe
    source: str
    suite: TaskSuite
    tests: Mapping[str, Dataset]
    args: MultiTaskTrainingArguments


def build(recipe: Recipe) -> Run:
    """Build a run from a recipe that `load_recipe` has checked.

    Raises:
        ConfigError: transformers refuses a combination of training arguments.
        DataError: A data file is gone or broken.
    """
    tasks, tests = [], {}
    with reading_once():
        specs = {name: _recognised(name, spec, recipe.model) for name, spec in recipe.tasks.items()}
        for name, spec in specs.items():
            rows = rows_of(spec)
            tasks.append(build_task(name, spec, train=rows.train, eval=rows.eval))
            if rows.test is not None:
                tests[name] = rows.test
    recipe = recipe.model_copy(update={"tasks": specs})
    return Run(
        recipe=recipe,
        source=recipe.model.source or recipe.model.id,
        suite=TaskSuite(tasks),
        tests=tests,
        args=training_arguments(
            recipe.training,
            output_dir=recipe.output_dir,
            sharing=recipe.sharing,
            objective=recipe.objective,
        ),
    )


def _recognised(name: str, spec: TaskSpec, model: ModelSpec) -> TaskSpec:
    """The task with what its rows say, where they were not at hand when the recipe was checked."""
    rows = spec.train or spec.eval
    if rows is None or not is_open(spec):
        return spec
    try:
        encoder_decoder = is_encoder_decoder(model, Path())
        return recognised(name, spec, source_rows(rows), encoder_decoder=encoder_decoder)
    except ConfigError as error:
        raise ConfigError([f"task {name!r}: {problem}" for problem in error.problems]) from error
