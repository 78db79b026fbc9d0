"""Promise 3: a resumed run ends with the bits of one that was never interrupted."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from torch import Tensor
from transformers import TrainerCallback, TrainerState

from hf_mtl import MultiTaskTrainer, PromptCompletion, Task
from hf_mtl.errors import CheckpointError
from hf_mtl.versions import checkpointing_argument
from runs import logged, rows, state_of, tasks, trainer_of, weights

SAVING: dict[str, Any] = {
    "save_strategy": "steps", "save_steps": 3, "max_steps": -1, "num_train_epochs": 2, "eval_strategy": "steps",
    "eval_steps": 4, "logging_steps": 2,
}  # fmt: skip
SETTINGS: list[dict[str, Any]] = [
    {},
    {"mixture": {"kind": "temperature", "temperature": 2.0}},
    {"mixture": "round_robin", "max_steps": 12},
    {"load_best_model_at_end": True, "eval_steps": 3, "optim": "sgd", "max_grad_norm": 0.0},
    {"bf16": True, checkpointing_argument(): True},
]


def _same(a: MultiTaskTrainer, b: MultiTaskTrainer) -> None:
    first, second = state_of(a), state_of(b)
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert logged(a) == logged(b) and a.state.total_flos == b.state.total_flos


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_resumed_runs_have_the_same_bits(tiny_llama: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    whole = trainer_of(tiny_llama, tmp_path / "whole", tasks(), **(SAVING | changes))
    whole.train()
    assert whole.state.global_step >= 9
    for number in (3, 6):
        resumed = trainer_of(tiny_llama, tmp_path / str(number), tasks(), **(SAVING | changes))
        resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{number}"))
        _same(resumed, whole)


LOGS: dict[str, dict[str, Any]] = {
    "steps": {"eval_steps": 3, "logging_steps": 4},
    "epochs": {"eval_strategy": "epoch", "logging_strategy": "epoch"},
    "at the start": {"eval_on_start": True, "logging_first_step": True},
}


@pytest.mark.parametrize("changes", LOGS.values(), ids=LOGS)
def test_figures_are_those_of_the_uninterrupted_run(
    tiny_llama: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Resumed in an epoch, at its end, and where no round is left; `train_loss` is the mean of all rounds by hand."""
    settings = SAVING | {"save_steps": 1, "mixture": "round_robin"} | changes
    suite = {name: replace(task, max_steps=4) for name, task in tasks().items()}
    losses: list[float] = []
    whole = trainer_of(tiny_llama, tmp_path / "whole", suite, **settings)
    step = whole.training_step
    whole.training_step = lambda *args: _noted(losses, step(*args))  # type: ignore[method-assign]
    output = whole.train()
    assert len(losses) == whole.state.global_step == 12 and len(whole.loader) == 6
    assert output.training_loss == pytest.approx(sum(losses) / 12, rel=1e-6)
    for number in (4, 6, 12):
        resumed = trainer_of(tiny_llama, tmp_path / str(number), suite, **settings)
        again = resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{number}"))
        _same(resumed, whole)
        assert again.training_loss == again.metrics["train_loss"] == output.training_loss


def _noted(losses: list[float], loss: Tensor) -> Tensor:
    losses.append(loss.item())
    return loss


def test_true_takes_the_last_whole_checkpoint(tiny_llama: Path, tmp_path: Path) -> None:
    trainer_of(tiny_llama, tmp_path, tasks(), **(SAVING | {"max_steps": 5})).train()
    (tmp_path / "checkpoint-99").mkdir()  # a half one
    resumed = trainer_of(tiny_llama, tmp_path, tasks(), **(SAVING | {"max_steps": 5}))
    begun: list[int] = []

    class Begun(TrainerCallback):
        def on_step_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
            begun.append(state.global_step)

    resumed.add_callback(Begun())
    resumed.train(resume_from_checkpoint=True)
    assert resumed.state.global_step == 5 and begun == []  # the fifth is the last


def test_a_task_may_come_and_go(tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer_of(tiny_llama, tmp_path, tasks(), **SAVING).train()
    alone = trainer_of(tiny_llama, tmp_path / "alone", tasks(), **SAVING)
    alone.train()
    changed = tasks()
    del changed["c/d"]
    template = PromptCompletion("{text}:", " {label}")
    changed["new"] = Task("new", train=rows("new", 6), template=template, adapter=LoraConfig(r=2))
    with caplog.at_level(logging.WARNING):
        resumed = trainer_of(tiny_llama, tmp_path / "b", changed, **SAVING, full_determinism=False)
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-6"))
    assert "task 'c/d' is no longer there" in caplog.text and "task 'new' is new" in caplog.text
    assert resumed.plan.steps["new"] == 4
    for name in ("verbs", "mlp"):
        before, after = weights(alone, name), weights(resumed, name)
        assert max(float((after[k] - before[k]).norm() / before[k].norm()) for k in before) < 1e-5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": rows("verbs", 16)}, r"task 'verbs': its training rows changed \(17 then, 16 now"),
        ({"batch_size": 5}, "task 'verbs': a step takes 5 rows, and took 3"),
        ({"optim": "sgd"}, "task 'verbs': the optimizer is 'sgd', and was 'adamw_torch"),
        ({"adapter": LoraConfig(r=2, target_modules="all-linear")}, "the adapter of 'verbs' is another one"),
    ],
)
def test_changes_that_make_no_sense_are_refused(
    tiny_llama: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    trainer_of(tiny_llama, tmp_path, tasks(), **(SAVING | {"max_steps": 3})).train()
    changed = tasks()
    old = changed["verbs"]
    fields: dict[str, Any] = {
        "train": old.train,
        "eval": old.eval,
        "template": old.template,
        "adapter": old.adapter,
    } | change
    changed["verbs"] = Task("verbs", **fields)
    resumed = trainer_of(tiny_llama, tmp_path / "b", changed, **(SAVING | {"max_steps": 6}))
    start = weights(resumed, "mlp")
    with pytest.raises(CheckpointError, match=message):
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert all(torch.equal(start[key], value) for key, value in weights(resumed, "mlp").items())
