"""Confidence intervals of a metric: the percentile bootstrap over rows.

Efron 1979, "Bootstrap Methods: Another Look at the Jackknife": rows are drawn with replacement, as many as there are,
and the metric is computed on the draw; the interval holds the middle `level` of the figures of many draws. It tells how
much the choice of the evaluation rows matters, not how much the training's randomness does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from hf_mtl.bounds import COUNT, SHARE, bound_problems
from hf_mtl.errors import ConfigError
from hf_mtl.metrics.forms import FloatArray, IntArray, Rows
from hf_mtl.metrics.metric import Metric

__all__ = ["MOST_RECOMPUTED", "confidence_intervals", "resample_counts"]

MOST_RECOMPUTED = 200
"""Most resamples of a metric that is computed anew on each: ranks, and the user's own."""

_CHUNK = 4_000_000  # weights of rows at a time, 32 MB


def confidence_intervals(
    metric: Metric,
    predictions: Rows,
    references: Rows,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 1000,
) -> dict[str, tuple[float, float]]:
    """The interval of each figure that can be better or worse.

    Args:
        metric: The metric.
        predictions: As in `Metric.compute`.
        references: As in `Metric.compute`.
        seed: The same seed draws the same rows.
        level: The share of the resamples' figures inside the interval, between 0 and 1.
        resamples: How many are drawn; at most 200 (`MOST_RECOMPUTED`) of a metric that is computed anew
            on each: ranks, and the user's own.

    Returns:
        `(low, high)` by key. Resamples that do not define a figure are left out; NaN if none defines it.

    Raises:
        ConfigError: If level or resamples is out of its range, or as in `Metric.compute`.
        DataError: As in `Metric.compute`.

    Example:
        >>> from hf_mtl.metrics import resolve
        >>> confidence_intervals(resolve("accuracy"), [1, 1, 0, 1] * 9, [1, 1, 0, 0] * 9, seed=0)
        {'accuracy': (0.611..., 0.888...)}
    """
    bounds = {"level": SHARE, "resamples": COUNT}
    if wrong := bound_problems(bounds, {"level": level, "resamples": resamples}):
        raise ConfigError(wrong)
    keys = [
        key
        for key in metric.compute(predictions=predictions, references=references)
        if metric.better(key) is not None
    ]
    drawn: dict[str, list[float]] = defaultdict(list)
    for figures in _figures(metric, predictions, references, seed=seed, resamples=resamples):
        for key in keys:
            drawn[key] += figures.get(key, [])
    return {key: _middle(drawn[key], level) for key in keys}


def resample_counts(rows: int, resamples: int, seed: int) -> Iterator[IntArray]:
    """How often each of the resamples holds each row, `[rows]` for each of them.

    >>> [counts.tolist() for counts in resample_counts(4, 2, seed=0)]
    [[0, 1, 2, 1], [3, 1, 0, 0]]
    """
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(generator.integers(rows, size=rows), minlength=rows)


def _figures(
    metric: Metric, predictions: Rows, references: Rows, *, seed: int, resamples: int
) -> Iterator[dict[str, list[float]]]:
    rows = len(references)
    weighted = metric.resampler(predictions, references)
    if weighted is None:
        for counts in resample_counts(rows, min(resamples, MOST_RECOMPUTED), seed):
            drawn = np.repeat(np.arange(rows), counts)
            figures = metric.compute(
                predictions=_taken(predictions, drawn), references=_taken(references, drawn)
            )
            yield {key: [value] for key, value in figures.items()}
        return
    held: list[IntArray] = []
    for number, counts in enumerate(resample_counts(rows, resamples, seed), start=1):
        held.append(counts)
        if len(held) * rows >= _CHUNK or number == resamples:
            weights: FloatArray = np.stack(held).astype(np.float64)
            yield {key: own.tolist() for key, own in weighted(weights).items()}
            held = []


def _taken(rows: Rows, drawn: IntArray) -> Rows:
    return rows[drawn] if isinstance(rows, np.ndarray) else [rows[row] for row in drawn]


def _middle(figures: list[float], level: float) -> tuple[float, float]:
    defined = np.array([figure for figure in figures if not math.isnan(figure)])
    if not len(defined):
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
