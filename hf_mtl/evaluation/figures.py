"""From what a model gives for a task's rows to the task's figures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import EvalPrediction

from hf_mtl.data import IGNORED, Row
from hf_mtl.metrics import Metric, confidence_intervals, constant_predictions
from hf_mtl.models import RoutedModel, generate
from hf_mtl.tasks import Answers, Context, LanguageModelling, Outcome, Task, row_tokens

__all__ = ["TaskOutcomes", "figures_of"]

_SEED = 0  # of the resamples; another one changes an interval by its Monte Carlo error


@dataclass(frozen=True)
class TaskOutcomes:
    """What a model gave for the rows of one task.

    Args:
        task: The task.
        context: The task on its base.
        source: Its rows.
        found: By row, the outcomes of its sequences, in order; rows without a label are left out.
        forward_pass: The context of a forward pass, in which text is generated too.
    """

    task: Task
    context: Context
    source: Dataset
    found: Mapping[int, Sequence[Outcome]]
    forward_pass: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext

    @cached_property
    def rows(self) -> Mapping[int, Row]:
        """The rows that have a label."""
        return {row: self.source[row] for row in self.found}

    @property
    def loss(self) -> float:
        """The mean loss, weighted as in training."""
        every = [outcome for own in self.found.values() for outcome in own]
        return sum(own.loss_sum for own in every) / sum(own.weight for own in every)

    def answers(self, metric: Metric, model: RoutedModel) -> Answers:
        """Predictions and references in a metric's form; texts are generated unless it asks for exact matches only."""
        form = metric.form or self.task.own_kind.forms[0]
        answers = self.task.own_kind.answers(form, self.found, self.rows, self.context)
        exact = metric.name == "exact_match" and not metric.options
        if form != "texts" or exact:
            return answers
        return Answers(self.generated(model), answers.references)

    def generated(self, model: RoutedModel) -> list[str]:
        """What greedy decoding answers to every row, as long as the longest reference at most."""
        tokens = row_tokens(self.context)
        prompts = [tokens.prompt(row, answered=True).ids for row in self.rows.values()]
        longest = max(len(own[-1].output.answer_ids) for own in self.found.values())
        with self.forward_pass():
            return generate(model, self.context.tokenizer, self.task.name, prompts, max_new_tokens=longest)


def figures_of(
    outcomes: TaskOutcomes,
    model: RoutedModel,
    *,
    intervals: bool = False,
    compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
) -> dict[str, float]:
    """A task's figures.

    Args:
        outcomes: What the model gave.
        model: The model, for metrics on generated texts.
        intervals: Whether to add the ends of bootstrap intervals.
        compute_metrics: Further figures.
    """
    figures: dict[str, float] = {"loss": outcomes.loss, "rows": float(len(outcomes.found))}
    for metric in outcomes.task.measures:
        answers = outcomes.answers(metric, model)
        own = metric.compute(predictions=answers.predictions, references=answers.references)
        figures |= own
        main = metric.main_key(own)
        form = metric.form or outcomes.task.own_kind.forms[0]
        constant = constant_predictions(form, answers.references)
        if constant is not None:
            figures[f"{main}_constant"] = metric.compute(predictions=constant, references=answers.references)[
                main
            ]
        if intervals:
            low, high = confidence_intervals(metric, answers.predictions, answers.references, seed=_SEED)[
                main
            ]
            figures |= {f"{main}_low": low, f"{main}_high": high}
    if compute_metrics is not None:
        figures |= compute_metrics(_prediction(outcomes))
    return figures


def _prediction(outcomes: TaskOutcomes) -> EvalPrediction:
    kind = outcomes.task.own_kind
    if isinstance(kind, LanguageModelling):
        reads = [[each.output for each in own] for own in outcomes.found.values()]
        tables = (
            _table([[token for read in own for token in read.predicted_ids] for own in reads]),
            _table([[token for read in own for token in read.reference_ids] for own in reads]),
        )
        return EvalPrediction(predictions=tables[0], label_ids=tables[1])
    answers = kind.answers(kind.forms[0], outcomes.found, outcomes.rows, outcomes.context)
    return EvalPrediction(predictions=_array(answers.predictions), label_ids=_array(answers.references))


def _array(rows: Sequence[Any]) -> np.ndarray:  # Any: what the form says
    """Rows as one array; one of objects where they are of unlike lengths."""
    if any(isinstance(row, list | dict) for row in rows):
        table = np.empty(len(rows), dtype=object)
        table[:] = rows
        return table
    return np.array(rows)


def _table(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Rows of unlike lengths as one array, filled up with -100."""
    table = np.full((len(rows), max(map(len, rows))), IGNORED)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table
