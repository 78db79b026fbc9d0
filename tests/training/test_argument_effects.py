"""Each argument that is honoured changes what it should: a tiny run with it is held against one without."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from accelerate import PartialState
from transformers import TrainerCallback, TrainingArguments
from transformers.trainer_callback import ExportableState

from hf_mtl import MultiTaskTrainer
from hf_mtl.errors import ConfigError, TrainingError
from hf_mtl.training.argument_table import FIELDS
from hf_mtl.training.treatments import Honoured
from runs import tasks, trainer_of, weights

pytestmark = pytest.mark.filterwarnings(
    "ignore:`gradient_checkpointing:FutureWarning"
)  # a name of the past, honoured

EXISTING = {own.name for own in dataclasses.fields(TrainingArguments)}
RUN: dict[str, Any] = {"max_steps": 2, "warmup_steps": 0, "learning_rate": 1e-2, "max_grad_norm": 1.0}


class _Recorder(TrainerCallback):
    """What is seen of a run from outside: passes through each layer, and what callbacks such as trackers are given."""

    def __init__(self, trainer: MultiTaskTrainer) -> None:
        self.passes = [0, 0]
        self.args: TrainingArguments | None = None
        for i, layer in enumerate(trainer.model.base.model.layers):
            layer.mlp.register_forward_pre_hook(lambda *_, i=i: self._count(i))

    def _count(self, layer: int) -> None:
        if torch.is_grad_enabled():
            self.passes[layer] += 1

    def on_train_begin(self, args: TrainingArguments, *rest: Any, **kwargs: Any) -> None:
        self.args = args


@dataclass(frozen=True)
class Seen:
    """A finished run."""

    trainer: MultiTaskTrainer
    recorder: _Recorder
    out: Path

    @property
    def weights(self) -> list[list[float]]:
        return [value.flatten().tolist() for value in weights(self.trainer, "verbs").values()]

    def logged(self, key: str) -> list[float]:
        return [entry[key] for entry in self.trainer.state.log_history if key in entry]

    def steps(self, key: str) -> list[int]:
        return [int(entry["step"]) for entry in self.trainer.state.log_history if key in entry]

    @property
    def examples(self) -> int:
        summary: Any = self.trainer.plan.log.summary()
        return int(summary["tasks"]["verbs"]["examples"])

    @property
    def checkpoints(self) -> list[str]:
        return sorted(folder.name for folder in self.out.rglob("checkpoint-*"))

    def first_rows(self) -> tuple[int, ...]:
        round_ = self.trainer.round_plan().next()
        assert round_ is not None
        return round_.rows["verbs"]

    def passes_of_a_round(self) -> int:
        round_ = self.trainer.round_plan().next()
        assert round_ is not None
        return len(round_.groups)


OTHER = object()  # whatever, but not the same

Look = Callable[[Seen], object]


@dataclass(frozen=True)
class Effect:
    """What an argument changes.

    Args:
        value: What it is set to.
        look: What is looked at.
        without: What is seen without it.
        given: What is seen with it.
        beside: What both runs have.
    """

    value: object
    look: Look
    without: object = OTHER
    given: object = OTHER
    beside: dict[str, Any] = field(default_factory=dict)


def _weights(seen: Seen) -> object:
    return seen.weights


def _rates(seen: Seen) -> object:
    return seen.logged("verbs/learning_rate")


def _examples(seen: Seen) -> object:
    return seen.examples


def _rounds(seen: Seen) -> object:
    return seen.trainer.state.global_step


def _logs(seen: Seen) -> object:
    return seen.steps("loss")


def _evaluations(seen: Seen) -> object:
    return seen.steps("eval_loss")


def _folders(seen: Seen) -> object:
    return seen.checkpoints


def _passes(seen: Seen) -> object:
    return seen.recorder.passes


def _told(name: str) -> Look:
    """What a tracker reads, which is a callback."""
    return lambda seen: getattr(seen.recorder.args, name)


EVALUATED = {"eval_strategy": "steps", "eval_steps": 1, "max_steps": 3}
SAVED = {"save_strategy": "steps", "save_steps": 1, "max_steps": 3}
# The first evaluation has the highest loss, which is called the best.
WORST_IS_BEST = EVALUATED | SAVED | {"metric_for_best_model": "loss", "greater_is_better": True}
CHECKPOINTED = {"activation_checkpointing": True} if "activation_checkpointing" in EXISTING else {}

EFFECTS: dict[str, Effect] = {
    "bf16": Effect(True, _weights),  # and the dtypes of activations in tests/training/test_precision.py
    "output_dir": Effect("elsewhere", lambda seen: (seen.out / "elsewhere").is_dir(), False, True, SAVED),
    "per_device_train_batch_size": Effect(5, _examples, 6, 10),
    "gradient_accumulation_steps": Effect(
        2, lambda seen: (seen.examples, seen.trainer.state.global_step), (6, 2), (12, 2)
    ),
    "num_train_epochs": Effect(
        2, _rounds, 2, 4, {"max_steps": -1, "per_device_train_batch_size": 9, "num_train_epochs": 1}
    ),
    "max_steps": Effect(3, _rounds, 2, 3),
    "learning_rate": Effect(1e-3, _rates, [1e-2, 5e-3], [1e-3, 5e-4]),
    "lr_scheduler_type": Effect("constant", _rates, [1e-2, 5e-3], [1e-2, 1e-2]),
    "lr_scheduler_kwargs": Effect({"num_cycles": 1.0}, _rates, beside={"lr_scheduler_type": "cosine", "max_steps": 4}),
    "warmup_steps": Effect(1, _rates, [1e-2, 5e-3], [0.0, 1e-2]),
    "optim": Effect("sgd", _weights),
    "optim_args": Effect("momentum=0.9", _weights, beside={"optim": "sgd"}),
    "weight_decay": Effect(0.5, _weights),
    "adam_beta1": Effect(0.5, _weights),
    "adam_beta2": Effect(0.5, _weights),
    "adam_epsilon": Effect(1e-2, _weights),
    "max_grad_norm": Effect(1e-3, _weights, beside={"optim": "sgd"}),
    "activation_checkpointing": Effect(True, _passes, [2, 2], [4, 4]),
    "activation_checkpointing_kwargs": Effect({"every_n_layers": 2}, _passes, [4, 4], [4, 2], CHECKPOINTED),
    "gradient_checkpointing": Effect(True, _passes, [2, 2], [4, 4]),
    "logging_strategy": Effect("no", _logs, [1, 2], []),
    "logging_steps": Effect(2, _logs, [1, 2], [2]),
    "logging_first_step": Effect(True, _logs, [2], [1, 2], {"logging_steps": 2}),
    "eval_strategy": Effect("steps", _evaluations, [], [1, 2], {"eval_steps": 1}),
    "eval_steps": Effect(2, _evaluations, [1, 2, 3], [2, 3], EVALUATED),  # the last round is always measured
    "eval_delay": Effect(2, _evaluations, [1, 2, 3], [2, 3], EVALUATED),
    "eval_on_start": Effect(True, _evaluations, [1, 2, 3], [0, 1, 2, 3], EVALUATED),
    "save_strategy": Effect("steps", _folders, [], ["checkpoint-1", "checkpoint-2"], {"save_steps": 1}),
    "save_steps": Effect(
        2, _folders, ["checkpoint-1", "checkpoint-2", "checkpoint-3"], ["checkpoint-2", "checkpoint-3"], SAVED
    ),
    "save_total_limit": Effect(
        1, _folders, ["checkpoint-1", "checkpoint-2", "checkpoint-3"], ["checkpoint-3"], SAVED
    ),
    "load_best_model_at_end": Effect(True, _weights, beside=WORST_IS_BEST),
    "greater_is_better": Effect(
        True, _weights, beside={**WORST_IS_BEST, "load_best_model_at_end": True, "greater_is_better": False}
    ),
    "metric_for_best_model": Effect(
        "exact_match", lambda seen: seen.trainer.state.best_metric, OTHER, 0.0,
        {**WORST_IS_BEST, "load_best_model_at_end": True},
    ),
    "seed": Effect(7, _weights),
    "data_seed": Effect(7, lambda seen: seen.first_rows()),
    "report_to": Effect("tensorboard", lambda seen: bool([*seen.out.rglob("events.out.*")]), False, True),
    "run_name": Effect("mine", _told("run_name"), OTHER, "mine"),
    "project": Effect("mine", _told("project"), "huggingface", "mine"),
    "trackio_space_id": Effect("ada/space", _told("trackio_space_id"), None, "ada/space"),
    "trackio_bucket_id": Effect("ada/bucket", _told("trackio_bucket_id"), None, "ada/bucket"),
    "trackio_static_space_id": Effect("ada/page", _told("trackio_static_space_id"), None, "ada/page"),
}  # fmt: skip

# Shown by a test of its own below, and in other files: with a server, and in two processes that are two nodes.
OWN_TESTS = {
    "accelerator_config", "debug", "disable_tqdm", "full_determinism", "gradient_checkpointing_kwargs", "log_level",
    "restore_callback_states_from_checkpoint", "tf32", "use_cpu",
}  # fmt: skip
ON_THE_HUB = {
    name for name in FIELDS if name.startswith(("hub_", "push_to_hub"))
}  # tests/hub/test_hub_arguments.py
ON_TWO_NODES = {"ddp_backend", "ddp_timeout", "log_level_replica", "log_on_each_node", "save_on_each_node"}


@pytest.fixture(scope="module")
def run(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Seen]:
    """Makes a run; one that was made is not made again."""
    done: dict[str, Seen] = {}

    def make(**changes: Any) -> Seen:
        key = repr(sorted(changes.items()))
        if key not in done:
            out = tmp_path_factory.mktemp("run")
            where = out / changes.pop("output_dir", ".")
            trainer = trainer_of(tiny_llama, where, {"verbs": tasks()["verbs"]}, **(RUN | changes))
            recorder = _Recorder(trainer)
            trainer.add_callback(recorder)
            trainer.train()
            done[key] = Seen(trainer, recorder, out)
        return done[key]

    return make


def test_every_honoured_argument_is_shown_to_have_an_effect() -> None:
    honoured = {name for name, treatment in FIELDS.items() if isinstance(treatment, Honoured)}
    honoured -= {name for name in honoured if FIELDS[name] is Honoured.SCRIPT}
    assert EFFECTS.keys() | OWN_TESTS | ON_THE_HUB | ON_TWO_NODES == honoured
    assert all(f"test_{name}" in globals() for name in OWN_TESTS)


@pytest.mark.parametrize("name", [name for name in EFFECTS if name in EXISTING])
def test_an_argument_changes_what_it_should(run: Callable[..., Seen], name: str) -> None:
    effect = EFFECTS[name]
    without = effect.look(run(**effect.beside))
    given = effect.look(run(**(effect.beside | {name: effect.value})))
    assert without != given
    assert effect.without is OTHER or without == effect.without
    assert effect.given is OTHER or given == effect.given


@pytest.fixture
def undo_determinism() -> Iterator[None]:
    """As it is before a run with full_determinism."""
    before = dict(os.environ)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.mark.usefixtures("undo_determinism")
def test_full_determinism(run: Callable[..., Seen]) -> None:
    """Every chunk is a pass of its own, and torch refuses what is not deterministic."""
    short = {"max_chunk_tokens": 30}
    torch.use_deterministic_algorithms(False)  # as a process begins; other tests may have run in this one
    assert run(**short).passes_of_a_round() == 1 and not torch.are_deterministic_algorithms_enabled()
    assert run(full_determinism=True, **short).passes_of_a_round() > 1
    assert torch.are_deterministic_algorithms_enabled()


def test_gradient_checkpointing_kwargs(run: Callable[..., Seen]) -> None:
    run(gradient_checkpointing=True)
    with pytest.raises(ConfigError, match="use_reentrant=True loses the route"):
        run(gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": True})


def test_disable_tqdm(run: Callable[..., Seen], capsys: pytest.CaptureFixture[str]) -> None:
    """A display with the tasks' losses, or the log's entries as they are."""
    shown = []
    for disabled in (False, True):
        run(disable_tqdm=disabled, data_seed=1)
        printed = capsys.readouterr().out
        shown.append(("round 2/2  loss=" in printed, "'verbs/loss':" in printed))
    assert shown == [(True, False), (False, True)]


def test_debug(tiny_llama: Path, tmp_path: Path) -> None:
    """A number that is not finite ends the run at its first pass, with the modules through which it came."""
    outcomes = []
    for changes in ({}, {"debug": "underflow_overflow"}):
        trainer = trainer_of(tiny_llama, tmp_path, {"verbs": tasks()["verbs"]}, **(RUN | changes))
        layers: Any = trainer.model.base.model.layers
        layers[1].input_layernorm.weight.data[0] = torch.inf
        with pytest.raises((ValueError, TrainingError)) as raised:
            trainer.train()
        outcomes.append(str(raised.value))
    assert "Every task went bad" in outcomes[0] and "inf/nan detected" in outcomes[1]


class _Counter(TrainerCallback, ExportableState):
    """Counts rounds, over resumes too if its state is restored."""

    def __init__(self) -> None:
        self.rounds = 0

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.rounds += 1

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"rounds": self.rounds}}


def test_restore_callback_states_from_checkpoint(tiny_llama: Path, tmp_path: Path) -> None:
    def train(folder: Path, resume: Path | None = None, **changes: Any) -> int:
        suite = {"verbs": tasks()["verbs"]}
        trainer = trainer_of(tiny_llama, folder, suite, **(RUN | {"max_steps": 3} | changes))
        trainer.add_callback(_Counter())
        trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
        (counter,) = (own for own in trainer.callback_handler.callbacks if isinstance(own, _Counter))
        return counter.rounds

    assert train(tmp_path / "whole", save_strategy="steps", save_steps=2) == 3
    checkpoint = tmp_path / "whole" / "checkpoint-2"
    assert train(tmp_path / "a", checkpoint) == 1
    assert train(tmp_path / "b", checkpoint, restore_callback_states_from_checkpoint=True) == 3


def test_log_level(run: Callable[..., Seen]) -> None:
    before = transformers.logging.get_verbosity()
    try:
        run(log_level="error")
        assert transformers.logging.get_verbosity() == logging.ERROR
        run(log_level="info")
        assert transformers.logging.get_verbosity() == logging.INFO
    finally:
        transformers.logging.set_verbosity(before)


def test_use_cpu(run: Callable[..., Seen]) -> None:
    """The weights are where the argument says; on a machine without an accelerator there is one place."""
    other = (
        torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    )
    assert other is not None
    assert {p.device.type for p in run(use_cpu=True).trainer.model.parameters()} == {"cpu"}
    assert {p.device.type for p in run(use_cpu=False).trainer.model.parameters()} == {other.type}


def test_tf32(tmp_path: Path) -> None:
    """transformers sets it when the arguments are made, and knows where there is none."""
    if torch.cuda.is_available() and torch.cuda.get_device_capability()[0] >= 8:
        before = torch.backends.cuda.matmul.allow_tf32
        for value in (True, False):
            TrainingArguments(str(tmp_path), tf32=value)
            assert torch.backends.cuda.matmul.allow_tf32 is value
        torch.backends.cuda.matmul.allow_tf32 = before
    else:
        with pytest.raises(ValueError, match="tf32 requires Ampere"):
            TrainingArguments(str(tmp_path), use_cpu=True, tf32=True)


def test_accelerator_config(tiny_llama: Path, tmp_path: Path) -> None:
    """Of its fields, the state that was set up before the arguments is kept."""
    kept = []
    for configured in (False, True):
        PartialState(cpu=True)._shared_state["mark"] = "before"
        changes = {"accelerator_config": {"use_configured_state": configured}}
        trainer_of(tiny_llama, tmp_path, {"verbs": tasks()["verbs"]}, **(RUN | changes)).train()
        kept.append("mark" in PartialState._shared_state)
    assert kept == [False, True]
