"""Strict match: the share of rows whose greedy completion is the reference, token for token, end included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hf_mtl.metrics.outcome import Outcome

__all__ = ["constant_answer", "exact_match"]


def exact_match(outcomes: Sequence[Outcome]) -> float:
    """The share of exact answers, from 0 to 1.

    >>> exact_match([Outcome(0.1, 1, True, " ran"), Outcome(2.0, 1, False, " went")])
    0.5
    """
    return sum(outcome.exact for outcome in outcomes) / len(outcomes)


def constant_answer(outcomes: Sequence[Outcome]) -> float:
    """What the best constant answer would score: the share of the most frequent reference, from 0 to 1.

    >>> constant_answer([Outcome(0.1, 1, True, " yes"), Outcome(2.0, 1, False, " no"), Outcome(2.0, 1, False, " no")])
    0.6666666666666666
    """
    return Counter(outcome.reference for outcome in outcomes).most_common(1)[0][1] / len(outcomes)
