"""Weights that are good gave a finite loss; a task that goes bad ends with its last ones, or the run fails."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TrainerCallback

from hf_mtl import MultiTaskTrainer, Task
from hf_mtl.errors import TrainingError
from runs import state_of, tasks, trainer_of, weights

pytestmark = pytest.mark.usefixtures("ordinary_algorithms_afterwards")

EXACT: dict[str, Any] = {"full_determinism": True, "warmup_steps": 0, "max_steps": 8, "logging_steps": 10}
TOO_FAST: dict[str, Any] = {"learning_rate": 1e30, "max_grad_norm": 0.0}


class _Watch(TrainerCallback):
    """Notes every owner's weights before each round."""

    def __init__(self, trainer: MultiTaskTrainer) -> None:
        self.trainer = trainer
        self.seen: list[dict[str, dict[str, Tensor]]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seen.append({owner: weights(self.trainer, owner) for owner in self.trainer.owners.parameters})


def _same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], value) for key, value in second.items()
    )


def _suite(*names: str, **changes: dict[str, Any]) -> dict[str, Task]:
    return {name: replace(tasks()[name], **changes.get(name, {})) for name in names}


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_a_task_that_is_too_fast_goes_back_and_its_neighbour_is_as_if_alone(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, rate: float
) -> None:
    suite = _suite("verbs", "mlp", mlp={"learning_rate": rate})
    trainer = trainer_of(tiny_llama, tmp_path / "run", suite, **EXACT)
    watch = _Watch(trainer)
    trainer.add_callback(watch)
    trainer.train()
    good = trainer.good.steps["mlp"]
    assert trainer.plan.stopped == {"mlp"} and trainer.plan.steps["mlp"] == good + 4
    assert _same(weights(trainer, "mlp"), watch.seen[good]["mlp"])
    assert not _same(watch.seen[good + 1]["mlp"], watch.seen[good]["mlp"])
    assert math.isfinite(trainer.evaluate()["eval_mlp/loss"])
    alone = trainer_of(tiny_llama, tmp_path / "alone", {"verbs": suite["verbs"]}, **EXACT)
    alone.train()
    assert _same(weights(trainer, "verbs"), weights(alone, "verbs"))
    told = caplog.records[-1].message
    assert "strike 3 of 3. It leaves the run, back to " in told and told.endswith("; the others go on.")


def test_a_run_in_which_every_task_is_too_fast_fails(tiny_llama: Path, tmp_path: Path) -> None:
    suite = _suite("verbs", "mlp", mlp={"learning_rate": 1e30}, verbs={"learning_rate": 1e30})
    trainer = trainer_of(tiny_llama, tmp_path, suite, **EXACT)
    with pytest.raises(TrainingError) as raised:
        trainer.train()
    text = str(raised.value)
    assert text.startswith("Every task went bad") and "'verbs': 3 bad rounds" in text and "'mlp'" in text
    assert [own["outcome"] for own in trainer.containment.incidents if own["quarantined"]] == [
        "back to the weights it started with, for none of its updates made good ones"
    ] * 2
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_run_that_ends_before_the_strikes_are_used_up(tiny_llama: Path, tmp_path: Path) -> None:
    suite = _suite("verbs", "mlp", mlp={"learning_rate": 1e30})
    trainer = trainer_of(tiny_llama, tmp_path, suite, **(EXACT | {"max_steps": 3}))
    start = weights(trainer, "mlp")
    trainer.train()
    assert trainer.plan.stopped == set() and _same(weights(trainer, "mlp"), start)
    assert trainer.containment.incidents[-1] == {
        "task": "mlp", "round": 3, "rows": [], "quarantined": False,
        "problem": "the run ends, and its latest loss or gradient is not finite",
        "outcome": "back to the weights it started with, for none of its updates made good ones",
    }  # fmt: skip
    alone = trainer_of(tiny_llama, tmp_path, {"mlp": suite["mlp"]}, **(EXACT | {"max_steps": 3}))
    with pytest.raises(
        TrainingError, match="'mlp': 2 bad rounds, the last of them round 2: its gradient norm is nan"
    ):
        alone.train()


class _Faster(TrainerCallback):
    """Makes an owner's steps too fast from one round on."""

    def __init__(self, trainer: MultiTaskTrainer, owner: str, since: int, rate: float = 1e30) -> None:
        self.trainer, self.owner, self.since, self.rate = trainer, owner, since, rate

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= self.since:
            for group in self.trainer.task_optimizers[self.owner].optimizer.param_groups:
                group["lr"] = self.rate


def test_a_resume_goes_back_to_weights_from_before(tiny_llama: Path, tmp_path: Path) -> None:
    """Saved between the update that was too large and the loss that shows it."""
    ends = []
    for resume_from in (None, str(tmp_path / "run" / "checkpoint-4")):
        out = tmp_path / ("run" if resume_from is None else "resumed")
        trainer = trainer_of(
            tiny_llama, out, tasks(), **(EXACT | {"save_strategy": "steps", "save_steps": 4})
        )
        trainer.add_callback(_Faster(trainer, "mlp", 3))
        watch = _Watch(trainer)
        trainer.add_callback(watch)
        trainer.train(resume_from_checkpoint=resume_from)
        ends.append(state_of(trainer))
        if resume_from is None:
            assert _same(weights(trainer, "mlp"), watch.seen[3]["mlp"])
            assert not _same(watch.seen[3]["mlp"], watch.seen[2]["mlp"])
            assert trainer.good.steps["mlp"] == 3 and trainer.plan.stopped == {"mlp"}
    assert ends[0].keys() == ends[1].keys()
    assert [key for key, value in ends[0].items() if not torch.equal(value, ends[1][key])] == []


@pytest.mark.parametrize(("objective", "resumed"), [("equal", False), ("pcgrad", False), ("pcgrad", True)])
def test_a_shared_update_that_breaks_its_tasks_is_undone(
    tiny_llama: Path, tmp_path: Path, objective: str, resumed: bool
) -> None:
    """One update of the shared adapter is too large; then all goes on as if that one had not been."""
    sharing = {"name": "shared+private", "adapter": {"r": 4, "target_modules": ["q_proj"]}}
    names = ("verbs", "mlp")

    def run(out: str, *callbacks: type, **changes: Any) -> tuple[MultiTaskTrainer, _Watch]:
        settings = EXACT | {"sharing": sharing, "objective": objective, "save_strategy": "steps", "save_steps": 4,
                            "lr_scheduler_type": "constant", "max_steps": 6}  # fmt: skip
        trainer = trainer_of(tiny_llama, tmp_path / out, _suite(*names), **settings)
        watch = _Watch(trainer)
        trainer.add_callback(watch)
        trainer.add_callback(_Once(trainer, "shared/shared", 3))
        trainer.train(**changes)
        return trainer, watch

    trainer, watch = run("run")
    if resumed:
        whole = state_of(trainer)
        trainer, _ = run("resumed", resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-4"))
        again = state_of(trainer)
        assert [key for key, value in whole.items() if not torch.equal(value, again[key])] == []
        return
    # Round 4 is bad for both, and sat out, with the shared parameters as they were before round 3.
    assert not _same(watch.seen[4]["shared/shared"], watch.seen[3]["shared/shared"])
    assert _same(watch.seen[5]["shared/shared"], watch.seen[3]["shared/shared"])
    assert all(_same(watch.seen[5][name], watch.seen[4][name]) for name in names)
    assert [(own["task"], own["round"], own["quarantined"]) for own in trainer.containment.incidents] == [
        ("verbs", 4, False), ("mlp", 4, False),
    ]  # fmt: skip
    assert all(own["problem"].endswith("that update is undone") for own in trainer.containment.incidents)
    assert trainer.task_optimizers["shared/shared"].steps == 4 and trainer.plan.stopped == set()
    # The last round's update goes on from there: its moments are those of three updates, and of its own.
    step = trainer.task_optimizers["shared/shared"].optimizer.state_dict()["state"][0]["step"]
    assert int(step) == 4
    assert not _same(weights(trainer, "shared/shared"), watch.seen[5]["shared/shared"])


class _Once(_Faster):
    """One step that is too fast."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        groups = self.trainer.task_optimizers[self.owner].optimizer.param_groups
        for group in groups:
            group["lr"] = self.rate if state.global_step == self.since else 1e-3


def test_a_bad_private_part_undoes_no_shared_update(tiny_llama: Path, tmp_path: Path) -> None:
    """Of a task that is bad for a reason of its own, the shared parameters lose that round's part alone."""
    sharing = {"name": "shared+private", "adapter": {"r": 4, "target_modules": ["q_proj"]}}
    suite = _suite("verbs", "mlp", mlp={"learning_rate": 1e30})
    trainer = trainer_of(tiny_llama, tmp_path, suite, sharing=sharing, **EXACT)
    watch = _Watch(trainer)
    trainer.add_callback(watch)
    trainer.train()
    assert trainer.plan.stopped == {"mlp"} and trainer.task_optimizers["shared/shared"].steps == 8
    for before, after in zip(watch.seen, watch.seen[1:], strict=False):
        assert not _same(before["shared/shared"], after["shared/shared"])
    assert _same(weights(trainer, "mlp"), watch.seen[0]["mlp"])
    assert math.isfinite(trainer.evaluate()["eval_mlp/loss"])
