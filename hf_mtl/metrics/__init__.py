"""Metrics: predictions and references of all evaluation rows in, figures out; no network.

A metric is a name, a name with options, an `evaluate` module, or a callable, and all are computed through one
interface. The keys and values of a named one are those of `evaluate`'s metric of that name.

    >>> resolve("accuracy").compute(predictions=[0, 1, 1], references=[0, 1, 0])
    {'accuracy': 0.6666666666666666}
    >>> resolve({"name": "f1", "average": "macro"}).compute(predictions=[0, 1, 2], references=[0, 1, 1])
    {'f1': 0.5555555555555555}
    >>> def shortest(predictions, references):
    ...     return {"shortest": min(map(len, predictions))}
    >>> resolve(shortest, form="texts").compute(predictions=["a joy", "dull"], references=["good", "bad"])
    {'shortest': 4.0}

Each declares the form of prediction that it takes (`FORMS`); a kind of task offers some.

    >>> METRICS["seqeval"].form, METRICS["roc_auc"].form
    ('tags', 'scores')
"""

from __future__ import annotations

from hf_mtl.metrics.constant import constant_predictions
from hf_mtl.metrics.forms import FORMS, Form, Rows
from hf_mtl.metrics.intervals import MOST_RECOMPUTED, confidence_intervals
from hf_mtl.metrics.metric import Metric
from hf_mtl.metrics.options import Option
from hf_mtl.metrics.registry import METRICS
from hf_mtl.metrics.resolving import MetricLike, problems, resolve

__all__ = [
    "FORMS",
    "METRICS",
    "MOST_RECOMPUTED",
    "Form",
    "Metric",
    "MetricLike",
    "Option",
    "Rows",
    "confidence_intervals",
    "constant_predictions",
    "problems",
    "resolve",
]
