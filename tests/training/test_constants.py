"""DoRA's norms: computed once for all passes of a round, and right whenever weights have changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from hf_mtl import MultiTaskTrainer, PromptCompletion, Task
from hf_mtl.adapters import routing
from hf_mtl.versions import checkpointing_argument
from runs import rows, state_of, trainer_of

NAMES = ("a", "b")
ROUNDS = 3
LAYERS = 2  # of the tiny base; each has one layer with a DoRA
# Two rows are one pass, and a round has four of each task.
ARGUMENTS: dict[str, Any] = {
    "max_steps": ROUNDS,
    "gradient_accumulation_steps": 2,
    "per_device_train_batch_size": 2,
    "token_budget": 60,
    "max_chunk_tokens": 60,
    "learning_rate": 1e-2,
    "warmup_steps": 0,
}


class _Norms(TorchDispatchMode):
    """Counts the norms of the rows of matrices."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # Whole matrices have norms too, in the probes at the start of a run.
        self.count += func is torch.ops.aten.linalg_vector_norm.default and args[1:] == (2, [1])
        return func(*args, **(kwargs or {}))


class _Passes:
    """Counts the passes of the base."""

    def __init__(self, base: nn.Module) -> None:
        self.count = 0
        base.register_forward_pre_hook(self._add)

    def _add(self, *arguments: Any) -> None:
        self.count += 1


def _trainer(folder: Path, out: Path, *, dropout: float = 0.0, **changes: Any) -> MultiTaskTrainer:
    template = PromptCompletion("{text}:", " {label}")
    suite = {
        name: Task(
            name,
            train=rows(name, 12),
            eval=rows(name, 5),
            template=template,
            adapter=LoraConfig(r=2, target_modules=["v_proj"], use_dora=True, lora_dropout=dropout),
        )
        for name in NAMES
    }
    return trainer_of(folder, out, suite, **(ARGUMENTS | changes))


def _counted(trainer: MultiTaskTrainer) -> tuple[int, int]:
    """The norms and the passes of a run."""
    passes = _Passes(trainer.model.base)
    with _Norms() as norms:
        trainer.train()
    return norms.count, passes.count


def test_once_per_round_and_per_evaluation(tiny_llama: Path, tmp_path: Path) -> None:
    """Under activation checkpointing, which runs every layer twice."""
    options: dict[str, Any] = {checkpointing_argument(): True, "eval_strategy": "steps", "eval_steps": 1}
    norms, passes = _counted(_trainer(tiny_llama, tmp_path, **options))
    assert norms == 2 * ROUNDS * LAYERS * len(NAMES) and passes >= 5 * ROUNDS


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_run_is_what_it_is_with_a_norm_in_every_pass(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkpointing: bool
) -> None:
    """With accumulation, dropout, and evaluation between the steps."""
    options: dict[str, Any] = {
        checkpointing_argument(): checkpointing,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "dropout": 0.1,
    }
    _trainer(
        tiny_llama, tmp_path / "probed", **options
    ).train()  # the first run of a process probes the base too
    kept = _trainer(tiny_llama, tmp_path / "kept", **options)
    count, passes = _counted(kept)
    monkeypatch.setattr(routing.RoutedPass, "__init__", _without_constants(routing.RoutedPass.__init__))
    anew = _trainer(tiny_llama, tmp_path / "anew", **options)
    count_anew, passes_anew = _counted(anew)
    assert passes_anew == passes and count_anew > 2 * count
    first, second = state_of(kept), state_of(anew)
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def _without_constants(init: Any) -> Any:  # Any: a dataclass's constructor
    def wrapped(self: Any, **given: Any) -> None:
        init(self, **(given | {"constants": None}))

    return wrapped


def test_weights_that_are_put_in_between_count(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = _trainer(tiny_llama, tmp_path, max_steps=1)
    trainer.train()
    before = trainer.evaluate()
    parameters = {name: own for name in NAMES for name, own in trainer.model.adapter_parameters(name).items()}
    saved = {key: own.detach().clone() for key, own in parameters.items()}
    for own in parameters.values():
        own.data.add_(0.5)  # as a loaded checkpoint, behind autograd's counter
    changed = trainer.evaluate()
    fresh = _trainer(tiny_llama, tmp_path / "fresh", max_steps=1)
    for name in NAMES:
        for key, own in fresh.model.adapter_parameters(name).items():
            own.data.copy_(trainer.model.adapter_parameters(name)[key])
    assert changed["eval_loss"] == fresh.evaluate()["eval_loss"] != before["eval_loss"]
    for key, own in parameters.items():
        own.data.copy_(saved[key])
    assert trainer.evaluate()["eval_loss"] != changed["eval_loss"]
