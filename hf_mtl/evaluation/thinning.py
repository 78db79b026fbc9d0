"""Long curves with as many points as a picture can show.

>>> curve = [(step, 1.0) for step in range(1, 10_001)]
>>> curve[4321] = (4322, 9.0)
>>> thinned = thin(curve)
>>> len(thinned) <= 500, thinned[0], thinned[-1], (4322, 9.0) in thinned
(True, (1, 1.0), (10000, 1.0), True)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real

__all__ = ["MOST_POINTS", "thin", "thin_log"]

MOST_POINTS = 500
"""So many points a curve keeps; a page is about as many pixels wide."""

MOST_NUMBERS = 2_000_000
"""So many numbers a log keeps whole; as JSON they take some 60 MB."""

_WHOLE = ("loss", "step", "epoch")
Point = tuple[int, float]


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> tuple[Point, ...]:
    """Return a curve of at most `most` of the points, unchanged: the first, the last, and of each stretch its extremes.

    Args:
        points: Rounds and values, in order.
        most: How many to keep, at least 5.

    Returns:
        The points in order; all of them, where there are no more. The highest and the lowest value are among them, and
        of a stretch that has values that are no finite numbers, one of these.
    """
    if len(points) <= most:
        return tuple(points)
    each = 2 if all(math.isfinite(value) for _, value in points) else 3
    stretches, inner = (most - 2) // each, len(points) - 2
    kept = {0, len(points) - 1}
    for stretch in range(stretches):
        start, stop = 1 + stretch * inner // stretches, 1 + (stretch + 1) * inner // stretches
        places = range(start, stop)
        odd = next((place for place in places if not math.isfinite(points[place][1])), None)
        finite = [place for place in places if math.isfinite(points[place][1])]
        if finite:
            lowest = min(finite, key=lambda place: points[place][1])
            highest = max(finite, key=lambda place: points[place][1])
            kept |= {lowest, highest}
        if odd is not None:
            kept.add(odd)
    return tuple(points[place] for place in sorted(kept))


def thin_log(log: Sequence[Mapping[str, object]], most: int = MOST_NUMBERS) -> Sequence[Mapping[str, object]]:
    """Return a log; of one with more than `most` numbers, of each figure only the points that `thin` keeps.

    The entries stay, with their round and their loss, so that the curves of the thinned log are those of the whole one.

    Args:
        log: `trainer.state.log_history`.
        most: How many numbers are kept whole.
    """
    if sum(map(len, log)) <= most:
        return log
    thinned: list[dict[str, object]] = [{key: entry[key] for key in _WHOLE if key in entry} for entry in log]
    for key in dict.fromkeys(key for entry in log for key in entry):
        if key in _WHOLE:
            continue
        values = ((place, entry[key]) for place, entry in enumerate(log) if key in entry)
        for place, value in thin(
            [(place, float(value)) for place, value in values if isinstance(value, Real)]
        ):
            thinned[place][key] = value
    return thinned
