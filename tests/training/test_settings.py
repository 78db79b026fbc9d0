"""What a task leaves open is filled in from the arguments, as transformers reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import TrainingArguments

from hf_mtl import MultiTaskTrainingArguments, PromptCompletion, Task
from hf_mtl.training.settings import TaskSettings

FIELDS: dict[str, Any] = {
    "train": Dataset.from_list([{"a": "1", "b": "x"}] * 10),
    "template": PromptCompletion("{a}", " {b}"),
}


def _arguments(folder: Path, **changes: Any) -> MultiTaskTrainingArguments:
    return MultiTaskTrainingArguments(str(folder), report_to="none", use_cpu=True, **changes)


@pytest.mark.parametrize("metric", [None, "loss", "eval_loss", "exact_match", "eval_exact_match"])
@pytest.mark.parametrize("greater", [None, False, True])
@pytest.mark.parametrize("of_the_task", [True, False])
def test_the_direction_of_a_metric_is_transformers_own(
    tmp_path: Path, metric: str | None, greater: bool | None, of_the_task: bool
) -> None:
    """transformers guesses it once the best model is asked for: a loss is to fall, anything else to rise."""
    given: dict[str, Any] = {"metric_for_best_model": metric, "greater_is_better": greater}
    best: dict[str, Any] = {
        "load_best_model_at_end": True,
        "eval_strategy": "steps",
        "save_strategy": "steps",
    }
    stock = TrainingArguments(str(tmp_path), report_to="none", use_cpu=True, **(best | given))
    args = _arguments(tmp_path, **best, **({} if of_the_task else given))
    settings = TaskSettings.resolve(Task("t", **FIELDS, **(given if of_the_task else {})), args, rows=10)
    assert settings.metric == (stock.metric_for_best_model or "").removeprefix("eval_")
    assert settings.greater_is_better == stock.greater_is_better


@pytest.mark.parametrize("options", [{"num_cycles": 2.0}, '{"num_cycles": 2.0}'])
def test_a_schedules_options_are_a_copy(tmp_path: Path, options: dict[str, float] | str) -> None:
    args = _arguments(tmp_path, lr_scheduler_type="cosine", lr_scheduler_kwargs=options)
    settings = TaskSettings.resolve(Task("t", **FIELDS), args, rows=10)
    if isinstance(args.lr_scheduler_kwargs, dict):
        args.lr_scheduler_kwargs["num_cycles"] = 7.0
    assert settings.lr_scheduler_kwargs == {"num_cycles": 2.0}


def test_each_setting_comes_from_the_argument_of_its_name(tmp_path: Path) -> None:
    of_arguments: dict[str, Any] = {
        "learning_rate": 0.11, "warmup_steps": 0.12, "weight_decay": 0.13, "max_grad_norm": 0.14, "adam_beta1": 0.15,
        "adam_beta2": 0.16, "adam_epsilon": 0.17, "lr_scheduler_type": "cosine", "optim": "sgd",
    }  # fmt: skip
    settings = TaskSettings.resolve(Task("t", **FIELDS), _arguments(tmp_path, **of_arguments), rows=10)
    assert {name: getattr(settings, name) for name in of_arguments} == of_arguments
    stock = settings.arguments(_arguments(tmp_path))
    assert (stock.optim, stock.learning_rate) == ("sgd", 0.11)
    assert (stock.adam_beta1, stock.adam_beta2, stock.adam_epsilon) == (0.15, 0.16, 0.17)
