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
    if not (np.isfinite(scores).all() and _is_defined(scores, actual)):
        return {"roc_auc": math.nan}
    of_classes = scores.ndim == 2 and actual.ndim == 1
    value = roc_auc_score(
        actual, scores, average=average, max_fpr=max_fpr, multi_class=multi_class or "raise",
        labels=np.arange(classes) if of_classes else None,
    )  # fmt: skip
    return {"roc_auc": value}


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


def _is_defined(scores: FloatArray, actual: IntArray) -> bool:
    """Whether every class that is ranked has rows of its own and rows of others."""
    if actual.ndim == 2:
        return bool(((actual.sum(axis=0) > 0) & (actual.sum(axis=0) < len(actual))).all())
    return len(np.unique(actual)) == (2 if scores.ndim == 1 else scores.shape[1])


def _check(options: Mapping[str, object], labels: int | None, multi_label: bool) -> list[str]:
    several = not multi_label and labels is not None and labels > 2
    problems = []
    if several and options["multi_class"] is None:
        problems.append(f"{labels} classes are ranked in one of two ways; set multi_class to {_MULTI_CLASS}.")
    if (several or multi_label) and options["max_fpr"] is not None:
        problems.append("max_fpr is for two classes only; leave it out.")
    if not multi_label and options["average"] in ("micro", "samples"):
        problems.append(
            f"average {options['average']!r} is for several labels a row; take 'macro' or 'weighted'."
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
