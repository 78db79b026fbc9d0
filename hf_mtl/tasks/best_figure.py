"""Whether a task's evaluations give the figure that its best weights go by, and whether there are any to wait for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from hf_mtl.errors import did_you_mean, listing
from hf_mtl.metrics import Metric

__all__ = ["Evaluations", "best_problems", "figure_problem"]

_ALWAYS = ("loss", "rows")


class _Chosen(Protocol):
    """What a task, and a recipe's task, say of their best weights."""

    @property
    def metric_for_best_model(self) -> str | None: ...

    @property
    def early_stopping_patience(self) -> int | None: ...


@dataclass(frozen=True)
class Evaluations:
    """The evaluations of a task while it trains.

    Args:
        strategy: The training arguments' `eval_strategy`.
        rows: Whether the task has rows to learn from and rows to measure on.
        more: Whether others may ask for evaluations or add figures: callbacks, `compute_metrics`.
    """

    strategy: str
    rows: bool
    more: bool = False


def best_problems(task: _Chosen, metrics: Sequence[Metric], during: Evaluations) -> dict[str, str]:
    """By the task's setting, why it would have no effect.

    Args:
        task: The task.
        metrics: What it is measured by.
        during: Its evaluations.
    """
    problems = {}
    figure, patience = task.metric_for_best_model, task.early_stopping_patience
    if figure is not None and (problem := figure_problem(figure, metrics, more=during.more)) is not None:
        problems["metric_for_best_model"] = problem
    if patience is not None and not during.rows:
        problems["early_stopping_patience"] = (
            f"{patience} evaluations are waited for, and the task has none while it trains: give it `train` and "
            f"`eval` rows, or leave early_stopping_patience out."
        )
    elif patience is not None and during.strategy == "no" and not during.more:
        problems["early_stopping_patience"] = (
            f"{patience} evaluations are waited for, and eval_strategy='no' makes none: set eval_strategy='steps' and "
            f"eval_steps in the training arguments, or leave early_stopping_patience out."
        )
    return problems


def figure_problem(asked: str, metrics: Sequence[Metric], *, more: bool = False) -> str | None:
    """Why evaluations give no figure of a name; None also where that cannot be known before there is one.

    Args:
        asked: The name, with or without `eval_` before it.
        metrics: What the rows are measured by.
        more: Whether there are figures besides.

    Example:
        >>> from hf_mtl.metrics import METRICS
        >>> figure_problem("accuracy", [METRICS["accuracy"]]), figure_problem("PER_f1", [METRICS["seqeval"]])
        (None, None)
        >>> print(figure_problem("acuracy", [METRICS["accuracy"]]))
        expected a figure of the evaluations, found 'acuracy'. Did you mean 'accuracy'? There are 'accuracy', 'loss'. \
Name one of these, or add a metric that gives it to `metrics`.
    """
    keys = _keys(metrics)
    if more or keys is None:
        return None
    name = asked.removeprefix("eval_")
    known = name.removesuffix("_constant") if keys.get(name.removesuffix("_constant")) else name
    if known in _ALWAYS or any(fnmatchcase(known, _pattern(key)) for key in keys):
        return None
    named = next((own.main or own.keys[0] for own in metrics if own.name == name), None)
    near = f" The metric {name!r} gives {named!r}." if named else did_you_mean(name, [*keys, "loss"])
    return (
        f"expected a figure of the evaluations, found {asked!r}.{near} There are {listing([*keys, 'loss'])}. Name one "
        f"of these, or add a metric that gives it to `metrics`."
    )


def _keys(metrics: Iterable[Metric]) -> Mapping[str, bool] | None:
    """The figures' names, and whether each is a metric's main one; None if a metric does not say its own."""
    keys: dict[str, bool] = {}
    for own in metrics:
        if not own.keys:
            return None
        keys |= {key: key == (own.main or own.keys[0]) for key in own.keys}
    return keys


def _pattern(key: str) -> str:
    """A key as a pattern: `<type>_f1` stands for many."""
    return re.sub("<[^>]*>", "*", key)
