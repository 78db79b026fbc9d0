"""A sample of each task's rows through the very path of training, before a run is paid for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hf_mtl.errors import ConfigError, DataError
from hf_mtl.recipe.rows import is_at_hand
from hf_mtl.recipe.sampling import SampledSplit, SampledTask, away, open_base, sampled_tasks, spread
from hf_mtl.recipe.schema import Recipe

__all__ = ["RowChecks", "check_rows"]

_FIRST, _SPREAD = 20, 30  # rows that are checked: the first ones, and others over the whole split
_MOST_SHOWN = 5  # problems of one split


@dataclass(frozen=True)
class RowChecks:
    """What a check of some rows found.

    Args:
        rows: How many rows became tokens.
        problems: What training would refuse, with task, split, file and row.
        unchecked: What could not be looked at, and why.
    """

    rows: int
    problems: tuple[str, ...]
    unchecked: tuple[str, ...] = ()


def check_rows(recipe: Recipe) -> RowChecks:
    """Check some rows of every split of a recipe that `load_recipe` has checked; nothing is downloaded."""
    if (reason := away(recipe)) is not None:
        return RowChecks(0, (), (f"no row was tokenised: {reason}.",))
    checked, problems = 0, []
    try:
        for task in sampled_tasks(recipe, open_base(recipe)):
            for split in task.splits:
                rows, found = _check(task, split)
                checked += rows
                problems += found
    except ConfigError as error:
        problems += error.problems
    except DataError as error:
        problems.append(str(error))
    return RowChecks(checked, tuple(dict.fromkeys(problems)), tuple(_elsewhere(recipe)))


def _check(task: SampledTask, split: SampledSplit) -> tuple[int, list[str]]:
    """How many rows were read, and what is wrong with them; after some problems the rest is not read."""
    checked, labelled, problems = 0, False, []
    for number, row in spread(split.rows, first=_FIRST, more=_SPREAD):
        try:
            labelled = bool(task.encoder.examples(row)) or labelled
        except ConfigError as error:  # of the kind or the tokenizer, whatever the row
            return checked, [f"task {task.name!r}, {split.name}: {problem}" for problem in error.problems]
        except DataError as error:
            problems.append(f"task {task.name!r}, {split.name}, {split.place(number)}: {error}")
            if len(problems) == _MOST_SHOWN:
                break
        checked += 1
    if checked and not labelled and not problems:
        problems.append(f"task {task.name!r}, {split.name}: none of {checked} rows looked at has a label.")
    return checked, problems


def _elsewhere(recipe: Recipe) -> Iterator[str]:
    for name, spec in recipe.tasks.items():
        for split, rows in (("train", spec.train), ("eval", spec.eval), ("test", spec.test)):
            if rows is not None and not is_at_hand(rows):
                yield f"task {name!r}, {split}: {rows.source} is not on this machine, so its rows were not checked."
