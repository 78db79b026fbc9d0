"""Sentences about options of objectives that are out of bounds, or that name no task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hf_mtl.errors import ConfigError, did_you_mean, listing

__all__ = ["above_zero", "not_negative", "refuse", "unknown_tasks"]


def above_zero(objective: str, **options: float) -> list[str]:
    """One sentence for each option that is not above 0.

    >>> above_zero("dwa", temperature=0.0, window=1)
    ["the objective 'dwa': temperature must be above 0, found 0.0."]
    """
    return [
        f"the objective {objective!r}: {name} must be above 0, found {value!r}."
        for name, value in options.items()
        if not value > 0
    ]


def not_negative(objective: str, option: str, numbers: Mapping[str, float], why: str) -> list[str]:
    """One sentence for each number of this option that is below 0."""
    return [
        f"the objective {objective!r}: {option} of {key} must be 0 or more, found {value!r}: {why}."
        for key, value in numbers.items()
        if not value >= 0
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
