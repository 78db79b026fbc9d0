"""Sentences about options of objectives that are out of bounds, or that name no task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hf_mtl.bounds import NOT_NEGATIVE, Bounds, bound_problems
from hf_mtl.errors import ConfigError, did_you_mean, listing

__all__ = ["not_negative", "out_of_bounds", "refuse", "unknown_tasks"]


def out_of_bounds(objective: str, bounds: Mapping[str, Bounds], values: Mapping[str, object]) -> list[str]:
    """One sentence for each option that its bounds do not take.

    >>> from hf_mtl.bounds import COUNT, POSITIVE
    >>> out_of_bounds("dwa", {"temperature": POSITIVE, "window": COUNT}, {"temperature": 0.0, "window": 1})
    ["the objective 'dwa': temperature: expected a number above 0, found 0.0."]
    """
    return [f"the objective {objective!r}: {problem}" for problem in bound_problems(bounds, values)]


def not_negative(objective: str, option: str, numbers: Mapping[str, object], why: str) -> list[str]:
    """One sentence for each number, by task, of this option that is below 0."""
    return [
        f"the objective {objective!r}: {option} of {task!r}: {problem.removesuffix('.')}: {why}."
        for task, number in numbers.items()
        if (problem := NOT_NEGATIVE.problem(number)) is not None
    ]


def refuse(problems: Sequence[str]) -> None:
    """Raise what was found.

    Raises:
        ConfigError: If there are problems, with all of them.
    """
    if problems:
        raise ConfigError(problems)


def unknown_tasks(objective: str, option: str, named: Iterable[str], names: Sequence[str]) -> list[str]:
    """One sentence for each name under this option that no task has.

    >>> unknown_tasks("static", "weights", ["noun"], ["verbs", "words"])
    ["the objective 'static': weights names the task 'noun', which is not in the suite 'verbs', 'words'."]
    """
    return [
        f"the objective {objective!r}: {option} names the task {name!r}, which is not in the suite {listing(names)}."
        f"{did_you_mean(name, names)}"
        for name in dict.fromkeys(named)
        if name not in names
    ]
