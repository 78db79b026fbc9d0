"""The first rows of each task as the model sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.recipe.sampling import SampledTask, open_base, sampled_tasks, spread
from hf_mtl.recipe.schema import Recipe
from hf_mtl.tasks import SeenRow, seen_row

__all__ = ["TaskPreview", "preview_recipe"]


@dataclass(frozen=True)
class TaskPreview:
    """Some rows of a task.

    Args:
        task: The task's name.
        kind: Its kind.
        split: The split that the rows are from: `train`, or the first one that the task has.
        source: Where the rows are from.
        max_length: Most tokens of a sequence; None for no limit.
        rows: The rows.
        problem: Why no row can be read.
        skips: Whether training leaves out rows that cannot be used.
    """

    task: str
    kind: str
    split: str
    source: str
    max_length: int | None
    rows: tuple[SeenRow, ...]
    problem: str | None = None
    skips: bool = False

    @property
    def refused(self) -> bool:
        """Whether training would refuse a row, or all of them."""
        bad = not self.skips and any(row.problem is not None for row in self.rows)
        return self.problem is not None or bad


def preview_recipe(recipe: Recipe, tasks: Sequence[str] = (), *, rows: int = 3) -> tuple[TaskPreview, ...]:
    """Read some rows of each task by the path of training; what is not on this machine is downloaded, but no weights.

    Args:
        recipe: A recipe as `load_recipe` gives it.
        tasks: Only these tasks; default all of them.
        rows: How many rows of each task.

    Raises:
        ConfigError: If there is no such task, or the base has no tokenizer or does not fit a task.
        DataError: If a task's rows cannot be read.
    """
    unknown = [name for name in tasks if name not in recipe.tasks]
    if unknown:
        name = unknown[0]
        raise ConfigError(
            f"the recipe has no task {name!r}.{did_you_mean(name, recipe.tasks)} Tasks: {listing(recipe.tasks)}."
        )
    wanted = {name: spec for name, spec in recipe.tasks.items() if not tasks or name in tasks}
    chosen = recipe.model_copy(update={"tasks": wanted})
    return tuple(_preview(task, rows) for task in sampled_tasks(chosen, open_base(recipe), fetch=True))


def _preview(task: SampledTask, rows: int) -> TaskPreview:
    own, encoder = task.splits[0], task.encoder
    seen: list[SeenRow] = []
    problem = None
    try:
        for number, row in spread(own.rows, first=rows):
            seen.append(seen_row(encoder, row, number))
    except ConfigError as error:  # of the kind or the tokenizer, whatever the row
        problem = "; ".join(error.problems)
    except DataError as error:  # of a stream
        problem = str(error)
    kind, declared = encoder.task.own_kind, encoder.context.declared
    limit = declared.max_length if kind.shape is None else encoder.context.max_length
    skips = encoder.task.on_bad_row == "skip"
    return TaskPreview(task.name, kind.name, own.name, own.spec.source, limit, tuple(seen), problem, skips)
