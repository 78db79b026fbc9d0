"""Squared and absolute errors, and the correlations of values, by scipy."""

from __future__ import annotations

import math

import numpy as np

from hf_mtl.errors import DataError
from hf_mtl.metrics.forms import FloatArray, Rows, floats_of
from hf_mtl.metrics.metric import Figures, Metric, Weighted, divided, paired
from hf_mtl.metrics.options import flag
from hf_mtl.packages import Package

__all__ = ["mae", "mse", "pearsonr", "spearmanr"]

SCIPY = Package("scipy", "scipy", comes_along=True)
_CONSTANT = 1e-12  # a variance below this share of the values' mean square is rounding


def _values(predictions: Rows, references: Rows) -> tuple[FloatArray, FloatArray]:
    predicted, actual = floats_of(predictions, "predictions"), floats_of(references, "references")
    paired(predicted, actual, "predictions")
    return predicted, actual


def _one_value(predictions: Rows, references: Rows) -> tuple[FloatArray, FloatArray]:
    predicted, actual = _values(predictions, references)
    if actual.ndim == 2:
        raise DataError(
            f"a correlation compares one value per row, found {actual.shape[1]}; take mse or mae."
        )
    return predicted, actual


def _mse(predictions: Rows, references: Rows, *, squared: bool) -> Weighted:
    predicted, actual = _values(predictions, references)
    errors_ND = ((predicted - actual) ** 2).reshape(len(actual), -1)

    def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
        means_RD = counts_RN @ errors_ND / counts_RN.sum(axis=1, keepdims=True)
        return {"mse": (means_RD if squared else np.sqrt(means_RD)).mean(axis=1)}

    return figures


def _mae(predictions: Rows, references: Rows) -> Weighted:
    predicted, actual = _values(predictions, references)
    errors = np.abs(predicted - actual).reshape(len(actual), -1).mean(axis=1)
    return lambda counts_RN: {"mae": counts_RN @ errors / counts_RN.sum(axis=1)}


def _correlates(predicted: FloatArray, actual: FloatArray) -> bool:
    """Whether a correlation is defined: two rows or more, all finite, neither side constant."""
    sides = (predicted, actual)
    return len(actual) > 1 and all(np.isfinite(side).all() and bool(np.ptp(side)) for side in sides)


def _pearsonr(predictions: Rows, references: Rows, *, return_pvalue: bool) -> Figures:
    from scipy.stats import pearsonr

    predicted, actual = _one_value(predictions, references)
    value, p = pearsonr(actual, predicted) if _correlates(predicted, actual) else (math.nan, math.nan)
    return {"pearsonr": value, "p-value": p} if return_pvalue else {"pearsonr": value}


def _pearsonr_weighted(predictions: Rows, references: Rows, *, return_pvalue: bool) -> Weighted:
    predicted, actual = _one_value(predictions, references)
    # About the mean of all rows, which keeps the moments of a resample from cancelling.
    x, y = predicted - predicted.mean(), actual - actual.mean()
    moments_N5 = np.stack([x, y, x * x, y * y, x * y], axis=1)
    least = _CONSTANT * np.array([(x * x).mean(), (y * y).mean()])

    def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
        mx, my, mxx, myy, mxy = (counts_RN @ moments_N5 / counts_RN.sum(axis=1, keepdims=True)).T
        spread_x, spread_y = mxx - mx * mx, myy - my * my
        product = np.where((spread_x > least[0]) & (spread_y > least[1]), spread_x * spread_y, 0.0)
        return {"pearsonr": divided(mxy - mx * my, np.sqrt(product))}

    return figures


def _spearmanr(predictions: Rows, references: Rows, *, return_pvalue: bool) -> Figures:
    from scipy.stats import spearmanr

    predicted, actual = _one_value(predictions, references)
    value, p = spearmanr(actual, predicted) if _correlates(predicted, actual) else (math.nan, math.nan)
    return {"spearmanr": value, "spearmanr_pvalue": p} if return_pvalue else {"spearmanr": value}


mse = Metric(
    "mse", form="values", weighted=_mse, main="mse", keys=("mse",), greater_is_better=False,
    description="mean squared error; with squared: false its root", valid_options={"squared": flag(True)},
)  # fmt: skip
mae = Metric(
    "mae", form="values", weighted=_mae, main="mae", keys=("mae",), greater_is_better=False,
    description="mean absolute error",
)  # fmt: skip
pearsonr = Metric(
    "pearsonr", form="values", function=_pearsonr, weighted=_pearsonr_weighted, main="pearsonr", keys=("pearsonr",),
    neutral=("p-value",), description="linear correlation, from -1 to 1", package=SCIPY,
    valid_options={"return_pvalue": flag()},
)  # fmt: skip
spearmanr = Metric(
    "spearmanr", form="values", function=_spearmanr, main="spearmanr", keys=("spearmanr",),
    neutral=("spearmanr_pvalue",), description="correlation of the ranks, from -1 to 1", package=SCIPY,
    valid_options={"return_pvalue": flag()},
)  # fmt: skip
