"""The figures that best weights may go by are those that evaluations give."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from metric_rows import DECLARED, rows_for

from hf_mtl.metrics import METRICS, Metric, resolve
from hf_mtl.tasks.best_figure import Evaluations, best_problems, figure_problem


@dataclass
class Chosen:
    metric_for_best_model: str | None = None
    early_stopping_patience: int | None = None


@pytest.mark.parametrize("name", METRICS)
def test_every_figure_that_a_metric_gives(name: str) -> None:
    metric = resolve({"name": name, **DECLARED[name]})
    predictions, references = rows_for(name)
    figures = metric.compute(predictions=predictions, references=references)
    main = metric.main_key(figures)
    asked = [*figures, f"eval_{main}", f"{main}_constant", "loss", "eval_loss"]
    assert [key for key in asked if figure_problem(key, [metric]) is not None] == []
    assert "found 'no_such'" in (figure_problem("no_such", [metric]) or "")


def test_what_to_name_instead() -> None:
    assert "Did you mean 'accuracy'?" in (figure_problem("acuracy", [METRICS["accuracy"]]) or "")
    assert "The metric 'sacrebleu' gives 'score'." in (
        figure_problem("sacrebleu", [METRICS["sacrebleu"]]) or ""
    )


def test_figures_that_nobody_knows_before_they_are_there() -> None:
    mine = Metric("mine", function=lambda predictions, references: {"anything": 1.0})
    assert figure_problem("anything", [mine]) is None
    assert figure_problem("anything", [], more=True) is None
    assert figure_problem("anything", []) is not None


def test_evaluations_that_there_are_not() -> None:
    task, metrics = Chosen("loss", 3), [METRICS["accuracy"]]
    assert best_problems(task, metrics, Evaluations("steps", rows=True)) == {}
    never = best_problems(task, metrics, Evaluations("no", rows=True))
    assert "eval_strategy='no' makes none" in never["early_stopping_patience"]
    assert best_problems(task, metrics, Evaluations("no", rows=True, more=True)) == {}
    nothing = best_problems(task, metrics, Evaluations("epoch", rows=False))
    assert "the task has none while it trains" in nothing["early_stopping_patience"]
    assert best_problems(Chosen(), metrics, Evaluations("no", rows=False)) == {}
