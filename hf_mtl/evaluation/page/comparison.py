"""Tasks trained together against the same tasks trained alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hf_mtl.evaluation.page.records import Figures
from hf_mtl.evaluation.report import LOSS, TaskResult

__all__ = ["Change", "changes_of", "delta_p", "relative_change", "task_changes"]


@dataclass(frozen=True)
class Change:
    r"""One metric of one task, alone and together.

    Args:
        task: The task.
        metric: The metric's key.
        single: What training it alone gave.
        joint: What training all tasks together gave.
        greater_is_better: Whether a larger figure is a better one.
        relative: `(joint - single) / |single|`, with the other sign where smaller is better: above 0 is a gain. None
            where that is no number.
    """

    task: str
    metric: str
    single: float
    joint: float
    greater_is_better: bool
    relative: float | None


def changes_of(results: Iterable[TaskResult], single: Figures) -> tuple[Change, ...]:
    """Compare what both sides have: each metric of a task, or its loss where they share nothing else.

    Example:
        >>> from hf_mtl.evaluation import Score
        >>> results = [TaskResult("a", scores=(Score("accuracy", after=0.9), Score("loss", after=1.0)))]
        >>> [round(change.relative, 3) for change in changes_of(results, {"a": {"accuracy": 0.8, "loss": 2.0}})]
        [0.125]
    """
    found: list[Change] = []
    for result in results:
        alone = single.get(result.task, {})
        shared = [score for score in result.scores if score.after is not None and score.metric in alone]
        for score in [score for score in shared if score.metric != LOSS] or shared:
            joint = math.nan if score.after is None else score.after
            relative = relative_change(alone[score.metric], joint, greater_is_better=score.greater_is_better)
            found.append(
                Change(
                    result.task, score.metric, alone[score.metric], joint, score.greater_is_better, relative
                )
            )
    return tuple(found)


def task_changes(changes: Sequence[Change]) -> dict[str, float]:
    """By task the mean of its metrics' relative changes, best first; tasks without any are left out."""
    by_task: dict[str, list[float]] = {}
    for change in changes:
        if change.relative is not None:
            by_task.setdefault(change.task, []).append(change.relative)
    means = {task: math.fsum(own) / len(own) for task, own in by_task.items()}
    return dict(sorted(means.items(), key=lambda item: -item[1]))


def delta_p(changes: Sequence[Change]) -> float | None:
    r"""Return the mean relative change against single-task training; above 0, training together gained.

    .. math:: \Delta_p = \frac1T \sum_t \frac1{K_t} \sum_k (-1)^{l_{tk}} \frac{M_{tk} - S_{tk}}{|S_{tk}|}

    over T tasks with K_t metrics each, M together, S alone, l = 1 where smaller is better (Maninis et al. 2019, arXiv
    1904.08918; the bars around S keep the sign where a figure is negative, as a correlation may be). A metric that is 0
    alone has no relative change and is left out.

    Returns:
        The mean, or None where nothing can be compared.

    Example:
        >>> better, worse = Change("a", "f1", 0.5, 0.6, True, 0.2), Change("b", "loss", 2.0, 2.2, False, -0.1)
        >>> round(delta_p([better, worse]), 3)
        0.05
    """
    means = task_changes(changes)
    return math.fsum(means.values()) / len(means) if means else None


def relative_change(single: float, joint: float, *, greater_is_better: bool) -> float | None:
    """The gain of `joint` over `single`, relative to `single`; None where that is no number."""
    if single == 0 or not (math.isfinite(single) and math.isfinite(joint)):
        return None
    gain = joint - single if greater_is_better else single - joint
    return gain / abs(single)
