"""Area under the receiver operating characteristic, by scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hf_mtl.errors import ConfigError, DataError
from hf_mtl.metrics.classification import SKLEARN
from hf_mtl.metrics.forms import FloatArray, IntArray, Rows, floats_of, labels_of
from hf_mtl.metrics.metric import Figures, Metric
from hf_mtl.metrics.options import number, one_of

__all__ = ["roc_auc"]

_MULTI_CLASS = "'ovr' (each class against the rest) or 'ovo' (each pair of classes)"


def _roc_auc(
    predictions: Rows, references: Rows, *, average: str, multi_class: str | None, max_fpr: float | None
) -> Figures:
    from sklearn.metrics import roc_auc_score

    scores, actual = floats_of(predictions, "predictions"), labels_of(references, "references")
    if scores.ndim == 2 and actual.ndim == 1 and scores.shape[1] == 2:
        scores = scores[:, 1]
    _fit(scores, actual)
    classes = 1 if scores.ndim == 1 else scores.shape[1]
    options = {"average": average, "multi_class": multi_class, "max_fpr": max_fpr}
    if problems := _check(options, max(classes, 2), actual.ndim == 2):
        raise ConfigError(problems)
    if not np.isfinite(scores).all():
        return {"roc_auc": math.nan}
    if scores.ndim == 1:
        defined = len(np.unique(actual)) == 2
        return {"roc_auc": roc_auc_score(actual, scores, max_fpr=max_fpr) if defined else math.nan}
    if multi_class == "ovo" and actual.ndim == 1:
        return {"roc_auc": _of_pairs(actual, scores, average)}
    of_classes = actual if actual.ndim == 2 else (actual[:, None] == np.arange(classes)).astype(np.int64)
    return {"roc_auc": _of_columns(of_classes, scores, average)}


def _of_pairs(actual: IntArray, scores: FloatArray, average: str) -> float:
    """Each pair of the classes that occur; NaN of a single one."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(actual)) < 2:
        return math.nan
    classes = np.arange(scores.shape[1])
    return float(roc_auc_score(actual, scores, average=average, multi_class="ovo", labels=classes))


def _of_columns(actual_NC: IntArray, scores_NC: FloatArray, average: str) -> float:
    """Each class against the rest. A class without rows counts nothing where classes count by their rows."""
    from sklearn.metrics import roc_auc_score

    if average in ("micro", "samples"):
        lines = [actual_NC.ravel()] if average == "micro" else actual_NC
        defined = all(0 < line.sum() < len(line) for line in lines)
        return float(roc_auc_score(actual_NC, scores_NC, average=average)) if defined else math.nan
    rows_C = actual_NC.sum(axis=0)
    weights_C = rows_C if average == "weighted" else np.ones_like(rows_C)
    counted = np.flatnonzero(weights_C)
    if not (rows_C[counted] > 0).all() or not (rows_C[counted] < len(actual_NC)).all():
        return math.nan
    if not len(counted):
        return 0.0
    areas = [roc_auc_score(actual_NC[:, place], scores_NC[:, place]) for place in counted]
    return float(np.average(areas, weights=weights_C[counted]))


def _fit(scores: FloatArray, actual: IntArray) -> None:
    if actual.ndim == 2 and scores.shape != actual.shape:
        raise DataError(
            f"predictions must have a score for each of the {actual.shape[1]} labels {list(actual.shape)}, "
            f"found {list(scores.shape)}."
        )
    if actual.ndim == 2:
        return
    classes = 2 if scores.ndim == 1 else scores.shape[1]
    if outside := sorted(set(actual.tolist()) - set(range(classes))):
        raise DataError(
            f"references hold class {outside[0]}, but the scores are of the classes 0 to {classes - 1}."
        )
    if scores.ndim == 2 and np.isfinite(scores).all():
        off = np.flatnonzero(np.abs(scores.sum(axis=1) - 1) > 1e-4)
        if len(off):
            raise DataError(
                f"predictions row {off[0]}: the probabilities of the classes must add up to 1, found "
                f"{scores[off[0]].sum():g}; give the softmax of the logits."
            )


def _check(options: Mapping[str, object], labels: int | None, multi_label: bool) -> list[str]:
    several = not multi_label and labels is not None and labels > 2
    problems = []
    if several and options["multi_class"] is None:
        problems.append(f"{labels} classes are ranked in one of two ways; set multi_class to {_MULTI_CLASS}.")
    if (several or multi_label) and options["max_fpr"] is not None:
        problems.append("max_fpr is for two classes only; leave it out.")
    if options["average"] == "samples" and not multi_label:
        problems.append("average 'samples' is for several labels a row; take 'macro' or 'weighted'.")
    at_once = multi_label or (options["multi_class"] == "ovr" and (labels is None or labels > 2))
    if options["average"] == "micro" and not at_once:
        problems.append(
            "average 'micro' is for several labels a row, or for multi_class 'ovr'; take 'macro' or 'weighted'."
        )
    return problems


roc_auc = Metric(
    "roc_auc", form="scores", function=_roc_auc, main="roc_auc", keys=("roc_auc",), package=SKLEARN, check=_check,
    description="chance that a row of a class is scored above a row of another, from 0 to 1",
    valid_options={
        "average": one_of("macro", "macro", "micro", "weighted", "samples"),
        "multi_class": one_of(None, "ovr", "ovo"),
        "max_fpr": number(None, least=1e-9, most=1.0),
    },
)  # fmt: skip
