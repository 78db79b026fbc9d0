"""From what a user writes as a metric to a `Metric`: a name, a name with options, an `evaluate` module, a callable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import FunctionType
from typing import Protocol, TypeAlias, runtime_checkable

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.metrics.forms import FORMS, Form, Rows
from hf_mtl.metrics.metric import Figures, Metric
from hf_mtl.metrics.registry import METRICS

__all__ = ["Computes", "MetricLike", "problems", "resolve"]


@runtime_checkable
class Computes(Protocol):
    """What `evaluate.EvaluationModule` and objects of its interface offer."""

    def compute(self, *, predictions: Rows, references: Rows) -> Figures | None:
        """The figures of these rows."""


@runtime_checkable
class _Describes(Protocol):
    """An `evaluate` module also tells its name, and what its predictions and references look like."""

    @property
    def name(self) -> str: ...

    @property
    def features(self) -> object: ...


MetricLike: TypeAlias = str | Mapping[str, object] | Metric | Computes | Callable[..., Mapping[str, object]]


def resolve(metric: MetricLike, *, form: Form | None = None) -> Metric:
    """The metric that is meant.

    Args:
        metric: A name (`METRICS`), a name with options (`{"name": "f1", "average": "macro"}`), an `evaluate` module
            or any object with its `compute`, a callable `(predictions, references) -> {key: value}`, or a `Metric`.
        form: The form that a module or callable takes; a module's features say it too. Without either the metric takes
            the form that the kind of task gives by default.

    Raises:
        ConfigError: If there is no such metric or option, or it is nothing of the above.

    Example:
        >>> resolve({"name": "f1", "average": "macro"}).compute(predictions=[0, 1, 2], references=[0, 1, 1])
        {'f1': 0.5555555555555555}
        >>> resolve("f1").form
        'labels'
    """
    if form is not None and form not in FORMS:
        raise ConfigError(
            f"there is no form {form!r} of predictions; known are {listing(FORMS)}.{did_you_mean(form, FORMS)}"
        )
    if isinstance(metric, str):
        found = _named(metric)
    elif isinstance(metric, Mapping):
        options = dict(metric)
        name = options.pop("name", None)
        if not isinstance(name, str) or not all(isinstance(option, str) for option in options):
            raise ConfigError(
                f"a metric with options needs its name, such as {{'name': 'f1', 'average': 'macro'}}, "
                f"found {dict(metric)!r}."
            )
        found = _named(name).with_options(**options)
    elif isinstance(metric, Metric):
        found = metric
    else:
        return _own(metric, form)
    if form is not None and found.form not in (None, form):
        raise ConfigError(f"the metric {found.name!r} takes {found.form}, not {form}; leave form out.")
    return found


def problems(
    metric: MetricLike,
    *,
    forms: Collection[Form] | None = None,
    labels: int | None = None,
    multi_label: bool = False,
    quick: bool = False,
) -> list[str]:
    """All that is wrong with a metric for a task, as far as that shows before there are predictions.

    Args:
        metric: Whatever `resolve` takes.
        forms: The forms that the task's kind offers; None does not ask.
        labels: How many labels the task has, if that is known.
        multi_label: Whether a row may have several labels.
        quick: Of packages that are installed with hf_mtl, look whether they are there, and do not import them.

    Example:
        >>> problems("f1", forms=["labels"], labels=2)
        []
        >>> problems("f1", forms=["values"])
        ["the metric 'f1' takes labels, this task gives values; for it are 'mae', 'mse', 'pearsonr', 'spearmanr'."]
    """
    try:
        found = resolve(metric)
    except ConfigError as error:
        return list(error.problems)
    wrong = found.problems(labels=labels, multi_label=multi_label, quick=quick)
    if forms is not None and found.form is not None and found.form not in forms:
        fitting = listing(name for name, own in METRICS.items() if own.form in forms) or "your own only"
        given = " and ".join(sorted(forms)) or "none"
        wrong = [
            f"the metric {found.name!r} takes {found.form}, this task gives {given}; for it are {fitting}."
        ]
    return wrong


def _named(name: str) -> Metric:
    if name not in METRICS:
        raise ConfigError(
            f"there is no metric {name!r}; known are {listing(METRICS)}, and any evaluate module or callable "
            f"(predictions, references) -> {{key: value}}.{did_you_mean(name, METRICS)}"
        )
    return METRICS[name]


def _own(metric: Computes | Callable[..., Mapping[str, object]], form: Form | None) -> Metric:
    if isinstance(metric, type):
        raise ConfigError(
            f"a metric must be an object, found the class {metric.__name__!r}; give {metric.__name__}()."
        )
    if isinstance(metric, Computes):
        described = isinstance(metric, _Describes)
        name = metric.name if isinstance(metric, _Describes) else type(metric).__name__
        found = _form_of(name, metric.features) if isinstance(metric, _Describes) and described else None
        return Metric(name, form=form or found, function=_calling_compute(name, metric))
    if callable(metric):
        name = metric.__name__ if isinstance(metric, FunctionType) else type(metric).__name__
        return Metric(name, form=form, function=metric)
    raise ConfigError(
        f"a metric must be a name, a dictionary with a name, an evaluate module or a callable, found {metric!r} "
        f"of type {type(metric).__name__}. Names are {listing(METRICS)}."
    )


def _calling_compute(name: str, metric: Computes) -> Callable[..., Figures]:
    def function(predictions: Rows, references: Rows) -> Figures:
        figures = metric.compute(predictions=predictions, references=references)
        if figures is None:
            raise ConfigError(
                f"the metric {name!r} gave no figures; an evaluate module gives them only in its process 0, so load it "
                "without num_process: the predictions of all processes come together before it is called."
            )
        return figures

    return function


def _form_of(name: str, features: object) -> Form | None:
    """The form that an `evaluate` module's features ask for, or None where they leave it open.

    Raises:
        ConfigError: If its fields are not called predictions and references.
    """
    forms: set[Form | None] = set()
    for own in features if isinstance(features, list) else [features]:
        if not isinstance(own, Mapping):
            return None
        if not {"predictions", "references"} <= set(own):
            raise ConfigError(
                f"the metric {name!r} must take predictions and references, but its fields are {listing(own)}; "
                "wrap it in a function (predictions, references) that calls it."
            )
        forms.add(_form_of_field(own["predictions"]))
    return forms.pop() if len(forms) == 1 else None


def _form_of_field(field: object) -> Form | None:
    from datasets import LargeList, List, Value

    if isinstance(field, Mapping):
        return "answers" if "prediction_text" in field else None
    inner = field.feature if isinstance(field, List | LargeList) else field
    if not isinstance(inner, Value):
        return None
    lists = inner is not field
    if inner.dtype.startswith(("int", "uint", "bool")):
        return "labels"
    if "string" in inner.dtype:
        return "tags" if lists else "texts"
    return None if lists else "values"
