"""Figures of a confusion table for many weightings of the rows at once, as the bootstrap needs them.

A class's hits, predictions and references are sums over rows. So the tables of `R` resamples are one matrix product of
their row weights `[R, N]` with the rows' indicators `[N, C]`, which are sparse: one class per row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_mtl.metrics.forms import FloatArray, IntArray, Rows
from hf_mtl.metrics.metric import Weighted, divided

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["accuracies", "class_scores", "matthews"]

LabelPairs: TypeAlias = Callable[[Rows, Rows], tuple[IntArray, IntArray]]
WeightedOf: TypeAlias = Callable[..., Weighted]


@dataclass(frozen=True)
class _Tables:
    """Sums by class of each weighting, all `[R, C]`.

    Args:
        hits: Weight of the rows of the class that are given to it.
        predicted: Weight of the rows that are given to the class.
        actual: Weight of the rows of the class.
        present: Whether any row is of the class or given to it.
    """

    hits: FloatArray
    predicted: FloatArray
    actual: FloatArray
    present: NDArray[np.bool_]


class _Indicators:
    """Which row is of which class, on both sides, `[N, C]`; `C` are the classes that occur, or the chosen ones."""

    def __init__(self, predicted: IntArray, actual: IntArray, chosen: list[int] | None = None) -> None:
        several = actual.ndim == 2
        occurring = np.arange(actual.shape[1]) if several else np.union1d(predicted, actual)
        self.classes = occurring if chosen is None else np.array(chosen)
        self.predicted = _sparse(predicted, self.classes)
        self.actual = _sparse(actual, self.classes)
        self.hits = self.predicted.multiply(self.actual).tocsr()
        # scikit-learn averages over the classes that occur, unless they are listed or are columns.
        self.fixed = several or chosen is not None

    def tables(self, counts_RN: FloatArray, row_weights: FloatArray) -> _Tables:
        weights_RN = counts_RN * row_weights
        present = counts_RN @ (self.predicted + self.actual) > 0
        return _Tables(
            weights_RN @ self.hits,
            weights_RN @ self.predicted,
            weights_RN @ self.actual,
            np.ones_like(present) if self.fixed else present,
        )


def _sparse(labels: IntArray, classes: IntArray) -> csr_array:
    from scipy.sparse import csr_array

    if labels.ndim == 2:
        return csr_array(labels[:, classes].astype(np.float64))
    order = np.argsort(classes)
    places = np.clip(np.searchsorted(classes, labels, sorter=order), 0, len(classes) - 1)
    columns = order[places]
    rows = np.flatnonzero(classes[columns] == labels)
    return csr_array((np.ones(len(rows)), (rows, columns[rows])), shape=(len(labels), len(classes)))


def _row_weights(sample_weight: object, rows: int) -> FloatArray:
    return np.ones(rows) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)


def _score(key: str, hits: FloatArray, predicted: FloatArray, actual: FloatArray) -> FloatArray:
    above = 2 * hits if key == "f1" else hits
    below = {"precision": predicted, "recall": actual, "f1": predicted + actual}[key]
    return divided(above, below, otherwise=0.0)


def class_scores(key: str, labels_of_both: LabelPairs) -> WeightedOf:
    """Precision, recall or F1, for all averages that scikit-learn knows.

    Args:
        key: `precision`, `recall` or `f1`.
        labels_of_both: Checks and converts predictions and references.
    """

    def weighted(
        predictions: Rows,
        references: Rows,
        *,
        average: str,
        labels: list[int] | None,
        pos_label: int,
        sample_weight: object,
    ) -> Weighted:
        predicted, actual = labels_of_both(predictions, references)
        sides = _Indicators(predicted, actual, [pos_label] if average == "binary" else labels)
        row_weights = _row_weights(sample_weight, len(actual))
        if average == "samples":
            by_row = _score(key, *(_row_sums(side) for side in (sides.hits, sides.predicted, sides.actual)))
            return lambda counts_RN: {
                key: divided(counts_RN @ (row_weights * by_row), counts_RN @ row_weights)
            }
        return lambda counts_RN: {key: _averaged(key, sides.tables(counts_RN, row_weights), average)}

    return weighted


def _row_sums(indicators: csr_array) -> FloatArray:
    return np.asarray(indicators.sum(axis=1), dtype=np.float64).ravel()


def _averaged(key: str, tables: _Tables, average: str) -> FloatArray:
    if average == "micro":
        return _score(key, *(side.sum(axis=1) for side in (tables.hits, tables.predicted, tables.actual)))
    by_class_RC = _score(key, tables.hits, tables.predicted, tables.actual)
    weights_RC = tables.actual if average == "weighted" else tables.present.astype(np.float64)
    return divided((by_class_RC * weights_RC).sum(axis=1), weights_RC.sum(axis=1), otherwise=0.0)


def accuracies(labels_of_both: LabelPairs) -> WeightedOf:
    """The share of rows that are right."""

    def weighted(predictions: Rows, references: Rows, *, sample_weight: object) -> Weighted:
        predicted, actual = labels_of_both(predictions, references)
        right = (predicted == actual).reshape(len(actual), -1).all(axis=1)
        row_weights = _row_weights(sample_weight, len(actual))
        return lambda counts_RN: {
            "accuracy": divided(counts_RN @ (row_weights * right), counts_RN @ row_weights)
        }

    return weighted


def matthews(labels_of_both: LabelPairs) -> WeightedOf:
    """Matthews correlation for any number of classes.

    Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient":
    `(n h - sum p a) / sqrt((n^2 - sum p^2) (n^2 - sum a^2))` with `n` the weight of all rows, `h` that of the right
    ones, and `p`, `a` those predicted as and belonging to each class; 0 where a side has one class only.
    """

    def weighted(predictions: Rows, references: Rows, *, sample_weight: object) -> Weighted:
        predicted, actual = labels_of_both(predictions, references)
        sides = _Indicators(predicted, actual)
        row_weights = _row_weights(sample_weight, len(actual))

        def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
            tables = sides.tables(counts_RN, row_weights)
            all_rows = tables.actual.sum(axis=1)
            # As shares, so that "one class only" is 0 beside 1 whatever the weights.
            hits, given, own = (
                divided(side, all_rows[:, None]) for side in (tables.hits, tables.predicted, tables.actual)
            )
            above = hits.sum(axis=1) - (given * own).sum(axis=1)
            spread = (1 - (given**2).sum(axis=1)) * (1 - (own**2).sum(axis=1))
            defined = spread > 1e-15
            return {
                "matthews_correlation": divided(above, np.sqrt(np.where(defined, spread, 0.0)), otherwise=0.0)
            }

        return figures

    return weighted
