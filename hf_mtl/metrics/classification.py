"""Accuracy, precision, recall, F1 and Matthews correlation of class numbers, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping

from hf_mtl.errors import ConfigError
from hf_mtl.metrics.confusion import accuracies, class_scores, matthews
from hf_mtl.metrics.forms import IntArray, Rows, labels_of
from hf_mtl.metrics.metric import Figures, Metric, paired
from hf_mtl.metrics.options import Option, number, one_of, per_row_weights, sequence_of
from hf_mtl.packages import Package

__all__ = ["AVERAGES", "SKLEARN", "accuracy", "f1", "matthews_correlation", "precision", "recall"]

SKLEARN = Package("sklearn", "scikit-learn", comes_along=True)
AVERAGES = {
    "macro": "every class counts alike",
    "micro": "every row counts alike",
    "weighted": "every class counts by its rows",
    "samples": "the mean over rows, for several labels a row",
}


def _labels(predictions: Rows, references: Rows) -> tuple[IntArray, IntArray]:
    predicted, actual = labels_of(predictions, "predictions"), labels_of(references, "references")
    paired(predicted, actual, "predictions")
    return predicted, actual


def _accuracy(predictions: Rows, references: Rows, *, sample_weight: object) -> Figures:
    from sklearn.metrics import accuracy_score

    predicted, actual = _labels(predictions, references)
    return {"accuracy": accuracy_score(actual, predicted, sample_weight=sample_weight)}


def _matthews_correlation(predictions: Rows, references: Rows, *, sample_weight: object) -> Figures:
    from sklearn.metrics import matthews_corrcoef

    predicted, actual = _labels(predictions, references)
    if actual.ndim == 2:
        raise ConfigError(_ONE_LABEL)
    return {"matthews_correlation": matthews_corrcoef(actual, predicted, sample_weight=sample_weight)}


_ONE_LABEL = "it compares one label per row, found lines of several; take f1 with an average."


def _check_matthews(options: Mapping[str, object], labels: int | None, multi_label: bool) -> list[str]:
    return [_ONE_LABEL] if multi_label else []


def _precision_recall_f1(
    key: str,
    predictions: Rows,
    references: Rows,
    *,
    average: str,
    labels: object,
    pos_label: int,
    sample_weight: object,
) -> Figures:
    from sklearn.metrics import precision_recall_fscore_support

    predicted, actual = _labels(predictions, references)
    fit_average(predicted, actual, average=average, pos_label=pos_label)
    scores = precision_recall_fscore_support(
        actual, predicted, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight,
        zero_division=0,
    )  # fmt: skip
    return {key: scores[("precision", "recall", "f1").index(key)]}


def fit_average(predicted: IntArray, actual: IntArray, *, average: str, pos_label: int) -> None:
    """Refuse an average that does not fit the classes that the rows hold.

    Raises:
        ConfigError: If it does not.
    """
    several = actual.ndim == 2
    classes = sorted({*predicted.ravel().tolist(), *actual.ravel().tolist()})
    problems = _average_problems(average, actual.shape[1] if several else len(classes), several)
    if average == "binary" and not several and len(classes) == 2 and pos_label not in classes:
        problems.append(
            f"pos_label is {pos_label}, but the rows hold the classes {classes}; set pos_label to one of them."
        )
    if problems:
        raise ConfigError(problems)


def _average_problems(average: object, labels: int | None, multi_label: bool) -> list[str]:
    if average == "binary" and (multi_label or (labels is not None and labels > 2)):
        choices = "; ".join(
            f"{name!r} ({meaning})" for name, meaning in AVERAGES.items() if multi_label or name != "samples"
        )
        found = "several labels a row" if multi_label else f"{labels} labels"
        return [f"the figure of one class does not stand for {found}; set average to one of {choices}."]
    if average == "samples" and not multi_label:
        return ["average 'samples' is for several labels a row; with one label a row take accuracy."]
    return []


def _check_average(options: Mapping[str, object], labels: int | None, multi_label: bool) -> list[str]:
    average, chosen, positive = options["average"], options["labels"], options["pos_label"]
    problems = _average_problems(average, labels, multi_label)
    if average != "binary" and positive != 1:
        problems.append(
            f"pos_label counts only with average 'binary', found average {average!r}; leave it out."
        )
    if average == "binary" and chosen is not None:
        problems.append(
            "labels counts only with another average than 'binary'; leave it out, or set average."
        )
    numbers = [
        *(chosen if isinstance(chosen, list | tuple) else ()),
        *([positive] if average == "binary" else ()),
    ]
    if labels is not None:
        outside = [label for label in numbers if not 0 <= label < labels]
        problems += [f"there is no class {label}; the classes are 0 to {labels - 1}." for label in outside]
    return problems


def _named(key: str, description: str) -> Metric:
    def function(predictions: Rows, references: Rows, **options: object) -> Figures:
        return _precision_recall_f1(key, predictions, references, **options)  # type: ignore[arg-type]  # as accepted

    options: dict[str, Option] = {
        "average": one_of("binary", "binary", *AVERAGES),
        "labels": sequence_of(int, None),
        "pos_label": number(1, least=0, whole=True),
        "sample_weight": per_row_weights(),
    }
    return Metric(
        key, form="labels", function=function, weighted=class_scores(key, _labels), main=key, keys=(key,),
        description=description, valid_options=options, package=SKLEARN, check=_check_average,
    )  # fmt: skip


precision = _named("precision", "share of the rows given to a class that belong to it")
recall = _named("recall", "share of a class's rows that are given to it")
f1 = _named("f1", "harmonic mean of precision and recall")

accuracy = Metric(
    "accuracy", form="labels", function=_accuracy, weighted=accuracies(_labels), main="accuracy", keys=("accuracy",),
    description="share of the rows that are right; with several labels a row, all of them",
    valid_options={"sample_weight": per_row_weights()}, package=SKLEARN,
)  # fmt: skip

matthews_correlation = Metric(
    "matthews_correlation", form="labels", function=_matthews_correlation, weighted=matthews(_labels),
    main="matthews_correlation", keys=("matthews_correlation",),
    description="correlation of prediction and reference over the confusion table, from -1 to 1",
    valid_options={"sample_weight": per_row_weights()}, package=SKLEARN, check=_check_matthews,
)  # fmt: skip
