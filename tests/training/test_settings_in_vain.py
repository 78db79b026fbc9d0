"""Settings without effect are refused before a model is loaded; the model of these tests does not exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task
from hf_mtl.errors import ConfigError

ROWS = [{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}]
EVALUATED: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 1}


def refusal(folder: Path, task: dict[str, Any], args: dict[str, Any], **options: Any) -> str:
    fields: dict[str, Any] = {
        "train": ROWS,
        "eval": ROWS,
        "template": PromptCompletion("{text}:", " {label}"),
        **task,
    }
    settings = MultiTaskTrainingArguments(str(folder / "run"), use_cpu=True, report_to="none", **args)
    with pytest.raises(ConfigError) as caught:
        MultiTaskTrainer(folder / "no-model", settings, [Task("words", **fields)], **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("task", "args", "expected"),
    [
        ({"early_stopping_patience": 2}, {}, "task 'words': early_stopping_patience: 2 evaluations"),
        ({"early_stopping_patience": 2, "eval": None}, {}, "give it `train` and `eval` rows"),
        ({"metric_for_best_model": "blue"}, {}, "task 'words': metric_for_best_model: expected a figure"),
        ({"metric_for_best_model": "blue"}, EVALUATED, "There are 'exact_match', 'loss'"),
        ({}, EVALUATED | {"metric_for_best_model": "blue"}, "of the training arguments, task 'words': expected"),
        ({"metric_for_best_model": "loss"}, EVALUATED | {"metric_for_best_model": "blue"}, "of the training arg"),
        ({}, {"skip_spikes": True, "spike_factor": 0}, "skip_spikes=True is refused: spike_factor=0"),
        ({}, {"lr_scheduler_kwargs": {"num_cycles": 2}}, "the schedule 'linear' has no option 'num_cycles'"),
        ({"lr_scheduler_type": "constant"}, {"lr_scheduler_kwargs": {"power": 2}}, "in use .'constant'. have no opt"),
        ({}, {"lr_scheduler_kwargs": "power"}, "expected a mapping, or a JSON object"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, task: dict[str, Any], args: dict[str, Any], expected: str) -> None:
    import re

    said = refusal(tmp_path, task, args)
    assert re.search(expected, said) and "no-model" not in said, said


@pytest.mark.parametrize(
    ("task", "args", "options"),
    [
        ({"early_stopping_patience": 2}, EVALUATED, {}),
        ({"metric_for_best_model": "eval_exact_match"}, {}, {}),
        ({"metric_for_best_model": "mine"}, {}, {"compute_metrics": lambda own: {"mine": 1.0}}),
        ({"metric_for_best_model": "loss"}, EVALUATED | {"metric_for_best_model": "words/loss"}, {}),
        ({"lr_scheduler_type": "cosine"}, {"lr_scheduler_kwargs": {"num_cycles": 2}}, {}),
    ],
)
def test_not_refused(
    tmp_path: Path, task: dict[str, Any], args: dict[str, Any], options: dict[str, Any]
) -> None:
    """What is missing is the model alone."""
    assert "no-model" in refusal(tmp_path, task, args, **options)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"optim": "adamm"}, "optim: unknown or unsupported optimizer 'adamm'. Valid: 'adagrad'"),
        ({"optim": "adafactor"}, "optim: unknown or unsupported optimizer 'adafactor'"),
        (
            {"lr_scheduler_type": "linaer"},
            "lr_scheduler_type: unknown or unsupported schedule 'linaer'. Did you mean",
        ),
        ({"lr_scheduler_type": "greedy"}, "A schedule here is a function of the task's steps."),
        ({"lr_scheduler_type": 3}, "unknown or unsupported schedule 3"),
        ({"metric_for_best_model": 3}, "metric_for_best_model must be the name of a figure"),
        ({"greater_is_better": "no"}, "greater_is_better must be True or False"),
    ],
)
def test_a_task_that_cannot_be_declared(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Task("words", train=ROWS, template=PromptCompletion("{text}:", " {label}"), **settings)
    assert problem in str(caught.value) and "task 'words'" in str(caught.value)


def test_schedules_that_give_no_rate_are_found_with_the_rows(tiny_llama: Path, tmp_path: Path) -> None:
    args = MultiTaskTrainingArguments(
        str(tmp_path), use_cpu=True, report_to="none", max_steps=4, lr_scheduler_kwargs={"power": -1}
    )
    task = Task(
        "words", train=ROWS, template=PromptCompletion("{text}:", " {label}"), lr_scheduler_type="polynomial"
    )
    with pytest.raises(ConfigError, match=r"task 'words': lr_scheduler_kwargs=.*negative power.*Change one"):
        MultiTaskTrainer(tiny_llama, args, [task])
