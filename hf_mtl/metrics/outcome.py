"""What one evaluated row of a language-model task tells, and the two figures that are taken from it directly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["OUTCOME_METRICS", "Outcome", "OutcomeMetric", "constant_answer"]


@dataclass(frozen=True)
class Outcome:
    """The model's answer to one row, as one forward pass gives it.

    Args:
        loss_sum: Sum over the learned tokens of their negative log-likelihood, in nats.
        tokens: How many tokens were learned.
        exact: Whether greedy decoding would give exactly the reference, end token included. Greedy decoding
            picks the most likely token after each prefix, so it gives the reference exactly when each
            reference token is the most likely one after the reference's own prefix; that takes no generation
            to find out.
        reference: The reference completion as text.
        predicted_ids: The most likely token at each learned place, given the reference before it.
        reference_ids: The learned tokens.
        ranked: The label whose completion is the most likely, for tasks that declare labels.
    """

    loss_sum: float
    tokens: int
    exact: bool
    reference: str
    ranked: str | None = None
    predicted_ids: tuple[int, ...] = ()
    reference_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class OutcomeMetric:
    """A figure taken from outcomes.

    Args:
        compute: From the outcomes of at least one row to a figure.
        needs_labels: Whether the task must declare its labels.
        description: One line for tables and reports.
    """

    compute: Callable[[Sequence[Outcome]], float]
    needs_labels: bool
    description: str


def _exact_match(outcomes: Sequence[Outcome]) -> float:
    """The share of rows whose greedy completion is the reference, token for token, end included."""
    return sum(outcome.exact for outcome in outcomes) / len(outcomes)


def _accuracy(outcomes: Sequence[Outcome]) -> float:
    """The share of rows whose most likely label is the reference."""
    return sum(outcome.ranked == outcome.reference for outcome in outcomes) / len(outcomes)


def constant_answer(outcomes: Sequence[Outcome]) -> float:
    """What the best constant answer would score: the share of the most frequent reference, from 0 to 1.

    >>> constant_answer([Outcome(0.1, 1, True, " yes"), Outcome(2.0, 1, False, " no"), Outcome(2.0, 1, False, " no")])
    0.6666666666666666
    """
    return Counter(outcome.reference for outcome in outcomes).most_common(1)[0][1] / len(outcomes)


OUTCOME_METRICS: Mapping[str, OutcomeMetric] = MappingProxyType(
    {
        "exact_match": OutcomeMetric(
            _exact_match, needs_labels=False, description="strict match of the greedy completion"
        ),
        "accuracy": OutcomeMetric(_accuracy, needs_labels=True, description="labels ranked by likelihood"),
    }
)
