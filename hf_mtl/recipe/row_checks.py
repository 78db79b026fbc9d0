"""A sample of each task's rows through the very path of training, before a run is paid for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hf_mtl.errors import ConfigError, DataError
from hf_mtl.models import ConfiguredBase
from hf_mtl.recipe.rows import is_at_hand
from hf_mtl.recipe.sampling import SampledSplit, SampledTask, away, open_base, sampled_tasks, spread
from hf_mtl.recipe.schema import Recipe
from hf_mtl.tasks import Declared, Kind

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
        skipped: Rows that training would leave out, of tasks with `on_bad_row: skip`, in the same form.
        kinds: By task whose rows could be read, its kind and what it declares.
    """

    rows: int
    problems: tuple[str, ...]
    unchecked: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    kinds: Mapping[str, tuple[Kind, Declared]] = field(default_factory=dict)


def check_rows(recipe: Recipe, base: ConfiguredBase | None = None) -> RowChecks:
    """Check some rows of every split of a recipe that `load_recipe` has checked; nothing is downloaded.

    Args:
        recipe: The recipe.
        base: Its base; default: the one that it names.
    """
    if base is None and (reason := away(recipe)) is not None:
        return RowChecks(0, (), (f"no row was tokenised: {reason}.",))
    checked = 0
    problems: list[str] = []
    skipped: list[str] = []
    kinds: dict[str, tuple[Kind, Declared]] = {}
    try:
        for task in sampled_tasks(recipe, base or open_base(recipe)):
            own = task.encoder.task
            kinds[task.name] = own.own_kind, own.declared
            for split in task.splits:
                found = _check(task, split)
                checked += found.rows
                problems += found.problems
                skipped += found.skipped
    except ConfigError as error:
        problems += error.problems
    except DataError as error:
        problems.append(str(error))
    unchecked = tuple(_elsewhere(recipe))
    return RowChecks(checked, tuple(dict.fromkeys(problems)), unchecked, tuple(skipped), kinds)


def _check(task: SampledTask, split: SampledSplit) -> RowChecks:
    """How many rows were read, and what is wrong with them; after some problems the rest is not read."""
    checked, labelled, bad = 0, False, []
    skips = task.encoder.task.on_bad_row == "skip"
    for number, row in spread(split.rows, first=_FIRST, more=_SPREAD):
        try:
            labelled = bool(task.encoder.examples(row)) or labelled
        except ConfigError as error:  # of the kind or the tokenizer, whatever the row
            problems = [f"task {task.name!r}, {split.name}: {problem}" for problem in error.problems]
            return RowChecks(checked, tuple(problems))
        except DataError as error:
            bad.append(f"task {task.name!r}, {split.name}, {split.place(number)}: {error}")
            if not skips and len(bad) == _MOST_SHOWN:
                break
        checked += 1
    if checked and not labelled and not (bad and not skips):
        none = "has a label or can be used" if bad else "has a label"
        bad.append(f"task {task.name!r}, {split.name}: none of {checked} rows looked at {none}.")
        skips = False
    shown = tuple(bad[-_MOST_SHOWN:])
    return RowChecks(checked, () if skips else shown, skipped=shown if skips else ())


def _elsewhere(recipe: Recipe) -> Iterator[str]:
    for name, spec in recipe.tasks.items():
        for split, rows in (("train", spec.train), ("eval", spec.eval), ("test", spec.test)):
            if rows is not None and not is_at_hand(rows):
                yield f"task {name!r}, {split}: {rows.source} is not on this machine, so its rows were not checked."
