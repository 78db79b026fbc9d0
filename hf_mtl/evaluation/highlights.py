"""Which of many curves stand out in a picture: those that end highest and lowest; the others are thin and grey."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from hf_mtl.evaluation.fitted_table import CROWDED
from hf_mtl.evaluation.report import LossPoint

__all__ = ["highlights"]


def highlights(names: Iterable[str], panels: Iterable[Mapping[str, Sequence[LossPoint]]]) -> tuple[str, ...]:
    """Return the curves that stand out, the one that ends highest first; all of them in their order if they are few.

    At most `CROWDED` stand out, shared among the panels (each shows two at least). A curve that ends with something
    that is no number ends highest.

    Args:
        names: The curves' names.
        panels: By name, the points of each curve.

    Example:
        >>> curves = {f"task {number}": ((1, 1.0), (2, float(number))) for number in range(30)}
        >>> highlights(curves, [curves])[:2], highlights(curves, [curves])[-2:]
        (('task 29', 'task 28'), ('task 1', 'task 0'))
    """
    every, drawn = list(dict.fromkeys(names)), [panel for panel in panels if panel]
    if len(every) <= CROWDED:
        return tuple(every)
    half = max(1, CROWDED // 2 // max(1, len(drawn)))
    top: dict[str, None] = {}
    bottom: dict[str, None] = {}
    for curves in drawn:
        ordered = sorted((name for name in curves if curves[name]), key=lambda name: -_end(curves[name]))
        top |= dict.fromkeys(ordered[:half])
        bottom |= dict.fromkeys(ordered[-half:])
    return tuple(top | bottom)


def _end(points: Sequence[LossPoint]) -> float:
    """The mean of the last tenth of a curve."""
    last = [value for _, value in points[-max(1, len(points) // 10) :]]
    mean = math.fsum(last) / len(last) if all(map(math.isfinite, last)) else math.inf
    return mean
