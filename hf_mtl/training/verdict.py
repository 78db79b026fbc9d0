"""The figures of a verification, and the rule by which a difference is more than rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

__all__ = ["LEAST_EFFECT", "Limits", "TaskFigures", "Verification", "limits_of", "problems_of"]

PERMUTATIONS = 10.0  # a difference within so many times a permutation's is rounding
_LOGIT_TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
_HALF_PRECISION_ROUNDINGS = 16  # epsilons of the largest logit, through all layers
LEAST_EFFECT = 3.0  # times the difference; if the adapter were not in the folder, it would be 1


@dataclass(frozen=True)
class TaskFigures:
    """What was measured of one task; all figures are relative.

    Args:
        task: Its name.
        update: The difference of one round's update alone and together, from identical states.
        update_permuted: What another order of the rows in the task's batch does to that update, alone.
        drift: The difference, alone and together, of what the first rounds changed.
        drift_permuted: What another order of the rows in the task's batches does to that, alone.
        export: The largest difference of the exported adapter's logits in plain PEFT, relative to the largest logit;
            None for a task whose adapters do not make one PEFT folder.
        export_effect: The largest difference that the adapter makes to the bare base's logits, in the same measure.
        shared: The tasks that train a parameter of this one too.
        problems: Why isolation does not hold for it; empty if it does.
    """

    task: str
    update: float
    update_permuted: float
    drift: float
    drift_permuted: float
    export: float | None
    export_effect: float | None
    shared: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """The differences that are still rounding.

    Args:
        update: Of one round's update, whatever a permutation does.
        drift: Of the drift, whatever a permutation does.
        export: Of the exported logits.
    """

    update: float
    drift: float
    export: float


@dataclass(frozen=True)
class Verification:
    """The figures of all tasks.

    Args:
        tasks: In the suite's order.
        rounds: The rounds of the drift.
        dtype: What the base computes in, such as `bfloat16`.
        limits: The differences that are rounding in this dtype.
        findings: What the probes of the base found, where `isolation="relaxed"` let the runs go on.
    """

    tasks: tuple[TaskFigures, ...]
    rounds: int
    dtype: str
    limits: Limits
    findings: tuple[str, ...] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """The tasks for which isolation does not hold."""
        return tuple(figures.task for figures in self.tasks if figures.problems)


def limits_of(dtype: torch.dtype, epsilon: float, *, rounds: int) -> Limits:
    """The differences that are rounding, whatever a permutation does.

    Args:
        dtype: What the base computes in.
        epsilon: The distance from 1 to the next number of its products.
        rounds: The rounds of the drift.
    """
    update = math.sqrt(epsilon)
    export = _LOGIT_TOLERANCES.get(dtype, _HALF_PRECISION_ROUNDINGS * epsilon)
    if epsilon > torch.finfo(dtype).eps:  # TF32
        export = max(export, _HALF_PRECISION_ROUNDINGS * epsilon)
    return Limits(update, update * rounds, export)


def problems_of(figures: TaskFigures, limits: Limits) -> Iterator[str]:
    """Why isolation does not hold for a task, one message per figure; none if it holds."""
    why = f", it shares parameters with {', '.join(map(repr, figures.shared))}" if figures.shared else ""
    pairs = (
        ("one round's update", figures.update, figures.update_permuted, limits.update),
        ("the drift", figures.drift, figures.drift_permuted, limits.drift),
    )
    for what, found, permuted, floor in pairs:
        if not found <= max(PERMUTATIONS * permuted, floor):  # not <=: so that NaN is a problem
            yield f"{what} differs by {found:.1e} from that alone; a permutation of the rows makes {permuted:.1e}{why}"
    if figures.export is None or figures.export_effect is None:
        return
    if not figures.export <= limits.export:
        yield f"the exported adapter's logits differ by {figures.export:.1e}; {limits.export:.1e} is rounding"
    elif not LEAST_EFFECT * figures.export <= figures.export_effect:
        yield (
            f"the exported adapter's logits differ by {figures.export:.1e}, and the whole effect of the adapter is "
            f"{figures.export_effect:.1e}"
        )
