"""Metrics by name. All are computed from one forward pass over the evaluation rows, with no network.

    >>> sorted(METRICS)
    ['accuracy', 'exact_match']
    >>> METRICS["accuracy"].needs_labels
    True

A metric may also be a callable `metric(predictions, references) -> {"name": value}` on generated and
reference texts; those cost a generation of every row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from hf_mtl.metrics.accuracy import accuracy
from hf_mtl.metrics.exact_match import constant_answer, exact_match
from hf_mtl.metrics.outcome import Outcome

__all__ = ["METRICS", "Metric", "Outcome", "TextMetric", "accuracy", "constant_answer", "exact_match"]

TextMetric: TypeAlias = Callable[[Sequence[str], Sequence[str]], Mapping[str, float]]


@dataclass(frozen=True)
class Metric:
    """A named metric.

    Args:
        compute: From the outcomes of at least one row to a figure.
        needs_labels: Whether the task must declare its labels.
        description: One line for tables and reports.
    """

    compute: Callable[[Sequence[Outcome]], float]
    needs_labels: bool
    description: str


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "exact_match": Metric(
            exact_match, needs_labels=False, description="strict match of the greedy completion"
        ),
        "accuracy": Metric(accuracy, needs_labels=True, description="labels ranked by likelihood"),
    }
)
