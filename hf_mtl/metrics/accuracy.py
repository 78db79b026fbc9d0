"""Accuracy of the likelihood ranking: the answer is the label whose completion is the most likely after the prompt."""

from __future__ import annotations

from collections.abc import Sequence

from hf_mtl.metrics.outcome import Outcome

__all__ = ["accuracy"]


def accuracy(outcomes: Sequence[Outcome]) -> float:
    """The share of rows whose most likely label is the reference, from 0 to 1.

    >>> accuracy([Outcome(0.1, 1, True, " yes", ranked=" yes"), Outcome(2.0, 1, False, " no", ranked=" yes")])
    0.5
    """
    return sum(outcome.ranked == outcome.reference for outcome in outcomes) / len(outcomes)
