"""Long curves with as many points as a picture can show.

>>> curve = [(step, 1.0) for step in range(1, 10_001)]
>>> curve[4321] = (4322, 9.0)
>>> thinned = thin(curve)
>>> len(thinned), thinned[0], thinned[-1], (4322, 9.0) in thinned
(500, (1, 1.0), (10000, 1.0), True)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["MOST_POINTS", "thin"]

MOST_POINTS = 500
"""So many points a curve keeps; a page is about as many pixels wide."""

Point = tuple[int, float]


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> tuple[Point, ...]:
    """Return a curve of at most `most` of the points, unchanged: the first, the last, and of each stretch its extremes.

    Args:
        points: Rounds and values, in order.
        most: How many to keep, at least 4.

    Returns:
        The points in order; all of them, where there are no more. The highest and the lowest value are among them, and
        of a stretch that has values that are no finite numbers, one of these.
    """
    if len(points) <= most:
        return tuple(points)
    stretches, inner = (most - 2) // 2, len(points) - 2
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
