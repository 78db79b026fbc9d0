"""Promise 1, bit for bit: a task trained together is the task trained alone, whatever happens to the others."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import TrainerCallback

from hf_mtl import MultiTaskTrainer, RoutedModel, Task
from hf_mtl.errors import TrainingError
from hf_mtl.models import load_base
from hf_mtl.versions import checkpointing_argument
from runs import Poison, logged, rows, tasks, trainer_of, weights

pytestmark = pytest.mark.usefixtures("ordinary_algorithms_afterwards")

EXACT: dict[str, Any] = {"full_determinism": True, "logging_steps": 10}
ROUNDS = [10, pytest.param(50, marks=pytest.mark.slow)]


def _suite(**changes: dict[str, Any]) -> dict[str, Task]:
    suite = tasks()
    return {name: replace(task, **changes.get(name.replace("/", "_"), {})) for name, task in suite.items()}


CASES: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    # training arguments, and settings of tasks
    "dropout and uneven sizes": ({}, {}),
    "accumulation": ({"gradient_accumulation_steps": 3, "max_chunk_tokens": 40}, {"mlp": {"batch_size": 5}}),
    "small micro-batches": ({"token_budget": 60, "max_chunk_tokens": 30}, {}),
    "clipping": ({"max_grad_norm": 0.01}, {"mlp": {"max_grad_norm": 0.0, "learning_rate": 0.5}}),
    "checkpointing": ({checkpointing_argument(): True}, {}),
    "autocast": ({"bf16": True}, {}),
    "one finishes early": ({}, {"mlp": {"max_steps": 7}}),
    "one is absent": ({"mixture": {"kind": "rates", "rates": {"verbs": 1.0, "c/d": 1.0, "mlp": 0.01}}}, {}),
    "own optimizers": ({}, {"mlp": {"optim": "sgd", "learning_rate": 1.0}, "verbs": {"adam_beta1": 0.5}}),
}


def _alone(
    trainer: MultiTaskTrainer, name: str, folder: Path, out: Path, changes: dict[str, Any]
) -> dict[str, Tensor]:
    task = trainer.suite[name]
    steps = trainer.plan.steps[name]
    alone = trainer_of(
        folder, out, {name: replace(task, max_steps=trainer.plan.planned[name])},
        **(EXACT | changes | {"mixture": "all", "max_steps": steps}),
    )  # fmt: skip
    alone.train()
    return weights(alone, name)


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("case", CASES)
def test_every_task_ends_with_the_bits_of_its_solo_run(
    tiny_llama: Path, tmp_path: Path, case: str, rounds: int
) -> None:
    changes, own = CASES[case]
    changes = {"max_steps": rounds} | changes
    trainer = trainer_of(tiny_llama, tmp_path / "joint", _suite(**own), **(EXACT | changes))
    start = {name: weights(trainer, name) for name in trainer.suite}
    trainer.train()
    for name, steps in trainer.plan.steps.items():
        together = weights(trainer, name)
        if steps == 0:
            assert all(torch.equal(start[name][key], value) for key, value in together.items())
            continue
        alone = _alone(trainer, name, tiny_llama, tmp_path / "alone", changes)
        assert [key for key in alone if not torch.equal(alone[key], together[key])] == []
        assert not all(torch.equal(start[name][key], value) for key, value in together.items())
    expected = {"one finishes early": 7, "one is absent": 0}.get(case, rounds)
    assert trainer.plan.steps["mlp"] == expected


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("how", ["bfloat16", "4bit"])
def test_on_a_narrow_base(tiny_llama: Path, tmp_path: Path, how: str, rounds: int) -> None:
    def model() -> RoutedModel:
        options: dict[str, Any] = {"dtype": "bfloat16"} if how == "bfloat16" else {"quantization": "4bit"}
        base, identity = load_base(tiny_llama, **options)
        return RoutedModel(base, identity=identity)

    ends = []
    for suite in (tasks(), {"verbs": tasks()["verbs"]}):
        trainer = trainer_of(tiny_llama, tmp_path, suite, model=model(), max_steps=rounds, **EXACT)
        trainer.train()
        ends.append(weights(trainer, "verbs"))
    assert all(torch.equal(ends[0][key], value) for key, value in ends[1].items())


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("exact", [True, False])
def test_a_nan_stays_in_its_task(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, exact: bool, rounds: int
) -> None:
    ends = []
    for poisoned in (set(), {5}):
        trainer = trainer_of(
            tiny_llama, tmp_path, tasks(), **(EXACT | {"full_determinism": exact, "max_steps": rounds})
        )
        trainer.add_callback(Poison(trainer, "mlp", poisoned))
        trainer.train()
        ends.append({name: weights(trainer, name) for name in trainer.suite})
    for name in ("verbs", "c/d"):
        assert all(torch.equal(ends[0][name][key], value) for key, value in ends[1][name].items())
    assert all(value.isfinite().all() for value in ends[1]["mlp"].values())
    assert not all(torch.equal(ends[0]["mlp"][key], value) for key, value in ends[1]["mlp"].items())
    told = [record.message for record in caplog.records if "strike" in record.message]
    assert len(told) == 1 and "task 'mlp', round 5, rows " in told[0] and "its loss is nan" in told[0]
    assert (
        trainer.containment.incidents[0]["round"] == 5 and len(trainer.containment.incidents[0]["rows"]) == 3
    )


def test_quarantine_after_three_strikes(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), **(EXACT | {"max_steps": 12}))
    trainer.add_callback(Poison(trainer, "mlp", set(range(4, 12))))
    trainer.train()
    assert trainer.plan.stopped == {"mlp"} and trainer.plan.steps == {"verbs": 12, "mlp": 7, "c/d": 12}
    before = trainer_of(tiny_llama, tmp_path, tasks(), **(EXACT | {"max_steps": 12}))
    before.add_callback(_Until(3))  # the loss of round 3 is of the weights before it
    before.train()
    assert all(
        torch.equal(weights(before, "mlp")[key], value) for key, value in weights(trainer, "mlp").items()
    )


class _Until(TrainerCallback):
    def __init__(self, rounds: int) -> None:
        self.rounds = rounds

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.global_step == self.rounds


def test_strict_mode_raises(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), nonfinite="raise")
    trainer.add_callback(Poison(trainer, "c/d", {2}))
    with pytest.raises(
        TrainingError, match=r"task 'c/d', round 2, rows .*: its loss is nan.*nonfinite='skip'"
    ):
        trainer.train()


def test_of_a_shared_adapter_the_bad_contribution_is_dropped(tiny_llama: Path, tmp_path: Path) -> None:
    """One round: the shared adapter moves as if the bad task had not been in it."""
    ends = []
    for names, poisoned in ((("verbs", "mlp", "c/d"), {0}), (("verbs", "c/d"), set())):
        base, identity = load_base(tiny_llama)
        model = RoutedModel(base, identity=identity)
        suite = {name: task for name, task in tasks().items() if name in names}
        model.add_adapter("common", tasks()["verbs"].adapter)  # type: ignore[arg-type]
        for name, task in suite.items():
            model.add_adapter(name, task.adapter)  # type: ignore[arg-type]
            model.add_route(name, {name: 1.0, "common": 1.0})
        trainer = trainer_of(
            tiny_llama, tmp_path, suite, model=model, **(EXACT | {"max_steps": 1, "warmup_steps": 0})
        )
        if "mlp" in names:
            trainer.add_callback(Poison(trainer, "mlp", poisoned))
        start = weights(trainer, "shared/common")
        trainer.train()
        ends.append(weights(trainer, "shared/common"))
        assert not all(torch.equal(start[key], value) for key, value in ends[-1].items())
    assert all(torch.equal(ends[0][key], value) for key, value in ends[1].items())


def test_spikes_are_reported_and_skipped_on_request(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Spike(Poison):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step in self.rounds:
                self.kept = self.parameter.detach().clone()
                self.spoiled = self.kept * 1e4
                self.parameter.data.copy_(self.spoiled)

    steps, incidents = [], []
    for skip in (False, True):
        trainer = trainer_of(tiny_llama, tmp_path, tasks(), max_steps=25, skip_spikes=skip, optim="sgd")
        trainer.add_callback(Spike(trainer, "verbs", {20}))
        with caplog.at_level(logging.WARNING):
            trainer.train()
        steps.append({name: own.steps for name, own in trainer.task_optimizers.items()})
        incidents += trainer.containment.incidents
    told = [record.message for record in caplog.records if "running median" in record.message]
    assert len(told) == 2 and all("task 'verbs', round 20" in text for text in told)
    assert [(own["task"], own["round"], own["quarantined"]) for own in incidents] == [
        ("verbs", 20, False)
    ] * 2
    assert [own["problem"].endswith("; its update is left out") for own in incidents] == [False, True]
    assert steps == [{"verbs": 25, "mlp": 25, "c/d": 25}, {"verbs": 24, "mlp": 25, "c/d": 25}]


def test_early_stopping_keeps_the_best_and_frees_the_round(tiny_llama: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True,
               "save_strategy": "steps",
               "save_steps": 2, "max_steps": 20, "save_total_limit": 1}  # fmt: skip
    suite = tasks()
    # At this rate the weights get worse; and a metric that never moves is never better than at first.
    suite["mlp"] = replace(suite["mlp"], learning_rate=1.0, early_stopping_patience=2, optim="sgd")
    suite["c/d"] = replace(suite["c/d"], metric_for_best_model="exact_match", early_stopping_patience=3)
    trainer = trainer_of(tiny_llama, tmp_path, suite, **changes)
    seen: dict[float, dict[str, Tensor]] = {}

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen[state.global_step] = weights(trainer, "c/d")

    trainer.add_callback(Watch())
    trainer.train()
    record = trainer.best.records["c/d"]
    assert "c/d" in trainer.plan.stopped and trainer.plan.steps["c/d"] == record.round + 6 < 20
    assert all(torch.equal(seen[record.round][key], value) for key, value in weights(trainer, "c/d").items())
    assert trainer.plan.steps["verbs"] == 20
    measured = {e["step"]: e["eval_verbs/loss"] for e in logged(trainer) if "eval_verbs/loss" in e}
    assert trainer.best.records["verbs"].round == min(measured, key=lambda step: measured[step])
    assert trainer.evaluate()["eval_verbs/loss"] == min(measured.values())


def test_streams_of_unlike_length_and_rates(tiny_llama: Path, tmp_path: Path) -> None:
    suite = tasks() | {"tiny": replace(tasks()["verbs"], name="tiny", train=rows("tiny", 1))}
    trainer = trainer_of(
        tiny_llama, tmp_path, suite, max_steps=-1, num_train_epochs=1, mixture="proportional", stop_rule="all_exhausted"
    )  # fmt: skip
    trainer.train()
    assert trainer.plan.steps["mlp"] > trainer.plan.steps["verbs"] >= trainer.plan.steps["c/d"] >= 1
    assert all(steps == trainer.plan.planned[name] for name, steps in trainer.plan.steps.items())


def test_shared_weights_are_the_runs_best(tiny_llama: Path, tmp_path: Path) -> None:
    base, identity = load_base(tiny_llama)
    model = RoutedModel(base, identity=identity)
    suite = {name: tasks()[name] for name in ("verbs", "mlp")}
    model.add_adapter("common", tasks()["verbs"].adapter)  # type: ignore[arg-type]
    for name in suite:
        model.add_route(name, {"common": 1.0})
    trainer = trainer_of(
        tiny_llama, tmp_path, suite, model=model, max_steps=8, eval_strategy="steps", eval_steps=2, save_steps=2,
        save_strategy="steps", load_best_model_at_end=True, learning_rate=3.0, lr_scheduler_type="constant",
    )  # fmt: skip
    seen: dict[float, dict[str, Tensor]] = {}

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen[state.global_step] = weights(trainer, "shared/common")

    trainer.add_callback(Watch())
    trainer.train()
    measured = {e["step"]: e["eval_loss"] for e in logged(trainer) if "eval_loss" in e}
    best = min(measured, key=lambda step: measured[step])
    assert trainer.owners.parameters.keys() == {"shared/common"} and best != 8
    trainer.save_model(str(tmp_path / "saved"))
    for name in suite:
        saved = load_file(tmp_path / "saved" / name / "adapter_model.safetensors")
        assert all(
            torch.equal(saved[key.removeprefix("common:")], value) for key, value in seen[best].items()
        )
    assert all(
        torch.equal(seen[best][key], value) for key, value in weights(trainer, "shared/common").items()
    )
