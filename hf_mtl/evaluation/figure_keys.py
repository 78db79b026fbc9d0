"""Whose figure a key such as `eval_sentiment/accuracy` names, for many tasks at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["figures_by_task"]


def figures_by_task(
    names: Collection[str], figures: Mapping[str, float], before: str
) -> dict[str, dict[str, float]]:
    """The figures of all tasks that have any, by their keys alone, as `own_figures` gives those of one.

    Args:
        names: The tasks; of a set, the walk takes no longer with more of them.
        figures: Figures of all tasks.
        before: As in `own_figures`.
    """
    found: dict[str, dict[str, float]] = {}
    for key, value in figures.items():
        task, rest = key.removeprefix(f"{before}_"), ""
        while task != key and "/" in task:
            task, _, last = task.rpartition("/")
            rest = f"{last}/{rest}" if rest else last
            if task in names:
                found.setdefault(task, {})[rest] = value
                break
    return found
