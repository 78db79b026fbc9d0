"""Runs that use every part of a trainer, looked at where they are saved and where they go on."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attributes import LEAVES, frozen, is_ours, walk
from datasets import Dataset
from peft import LoraConfig
from rich.console import Console
from torch import Tensor
from transformers import AutoTokenizer, TrainerCallback

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task
from hf_mtl.training import ProgressDisplay
from hf_mtl.training.random_state import capture_random_state
from runs import ARGUMENTS, Poison, rows

EARLY, BROKEN, STREAM, STEADY = "early", "broken", 'a stream: "ä/b"', "steady"
SHARED = {"r": 2, "target_modules": ["q_proj"]}
SETTINGS: dict[str, Any] = {
    "save_strategy": "steps", "eval_strategy": "steps", "eval_steps": 2, "logging_steps": 4, "max_strikes": 2,
    "spike_factor": 1e6, "load_best_model_at_end": True, "learning_rate": 1e-2, "disable_tqdm": False, "max_steps": 12,
    "save_steps": 6,
}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    "shared and private": {
        "sharing": {"name": "shared+private", "adapter": SHARED}, "objective": "gradnorm", "gradient_cosines": True,
        "mixture": {"kind": "temperature", "temperature": 2.0, "cap": 20},
    },
    "soft, at the end of an epoch": {
        "sharing": {"name": "soft", "tau": 1.0}, "mixture": "round_robin", "save_steps": 8, "max_steps": -1,
    },
    "groups": {
        "sharing": {"name": "groups", "groups": {"g": [EARLY, STEADY]}, "adapter": SHARED}, "objective": "dwa",
        "mixture": {"kind": "annealed", "start": 1.0, "end": 3.0, "cap": 20}, "optim": "sgd",
        "optim_args": "momentum=0.9",
    },
}  # fmt: skip


def _suite() -> list[Task]:
    """One task that stops early, one that is put into quarantine, one of a stream with a bad row, and one more."""
    stream = Dataset.from_list([{"text": "word " * 99, "label": ""}, *rows("x", 7)]).to_iterable_dataset()
    changes: dict[str, dict[str, Any]] = {
        EARLY: {"metric_for_best_model": "loss", "greater_is_better": True, "early_stopping_patience": 1},
        BROKEN: {},
        STREAM: {"train": stream, "on_bad_row": "skip", "max_length": 90},
        STEADY: {},
    }
    common = {"train": rows("x", 11), "eval": rows("x", 3), "max_steps": 6}
    adapter = LoraConfig(r=2, lora_dropout=0.1, target_modules=["q_proj", "down_proj"])
    template = PromptCompletion("{text}:", " {label}")
    return [Task(name, **(common | own), template=template, adapter=adapter) for name, own in changes.items()]


@dataclass(frozen=True)
class Look:
    """A trainer at one moment, to the bit.

    Args:
        parts: The state of each part.
        attributes: The values of all attributes, by their paths.
        inside: Paths of values that belong to an object that is a part, or belongs to one.
        stateful: Paths of the objects that have a state and are not inside a part, without modules.
    """

    parts: dict[str, object]
    attributes: dict[str, object]
    inside: set[str]
    stateful: set[str]

    @classmethod
    def at(cls, trainer: Looked) -> Look:
        parts = {name: part for name, part in trainer.registry.parts.items() if name != "last"}
        # Without the trainer, which a part may know, but is not.
        held = [
            own for own in walk(parts, without=trainer) if is_ours(own.value) or isinstance(own.value, Tensor)
        ]
        ids = {id(own.value) for own in held}
        found = list(walk({"trainer": trainer, "callbacks": trainer.callback_handler.callbacks}))
        values = {own.path: frozen(own.value) for own in found if isinstance(own.value, LEAVES)}
        return cls(
            {name: frozen(part.state_dict()) for name, part in parts.items()},
            values | {"the random streams": frozen(capture_random_state())},
            {own.path for own in found if ids & {id(own.owner), id(own.value)}},
            {own.path for own in found if _has_state(own.value) and id(own.value) not in ids},
        )

    def differences(self, other: Look) -> set[str]:
        """The paths of values that are others, or not there."""
        one, two = self.attributes, other.attributes
        return {
            path
            for path in one.keys() | two.keys()
            if path not in one or path not in two or one[path] != two[path]
        }


def _has_state(value: object) -> bool:
    return is_ours(value) and hasattr(value, "load_state_dict") and not isinstance(value, torch.nn.Module)


class Looked(MultiTaskTrainer):
    """A trainer that is looked at in its first round, where it is saved, and where it has been restored."""

    first: Look
    saved: Look | None = None
    restored: Look

    def create_optimizer(self, model: Any = None) -> Any:
        optimizer = super().create_optimizer(model)
        self.registry.add({"last": _Last(self)})
        return optimizer


class Restored(Exception):
    """A trainer is where it goes on."""


@dataclass
class _Last:
    """A part of a subclass, registered behind all others: the last one to be saved and restored."""

    trainer: Looked

    def state_dict(self) -> dict[str, Any]:
        self.trainer.saved = Look.at(self.trainer)
        return {}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.trainer.restored = Look.at(self.trainer)
        raise Restored


class _Until(TrainerCallback):
    """Looks at a trainer in its first round, draws in every one, and ends the run at the checkpoint."""

    def __init__(self, trainer: Looked) -> None:
        self.trainer = trainer

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 0:
            self.trainer.first = Look.at(self.trainer)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        random.random(), np.random.rand(), torch.rand(())

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = True


def looked(folder: Path, out: Path, name: str) -> Looked:
    """A trainer of one of RUNS."""
    args = MultiTaskTrainingArguments(str(out), **(ARGUMENTS | SETTINGS | RUNS[name]))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    display = ProgressDisplay([EARLY], Console(file=io.StringIO()))
    trainer = Looked(str(folder), args, _suite(), processing_class=tokenizer, callbacks=[display])
    if "tau" not in RUNS[name]["sharing"]:  # which draws all tasks to the spoiled weights
        trainer.add_callback(Poison(trainer, BROKEN, set(range(6))))
    trainer.add_callback(_Until(trainer))
    return trainer


def saved(trainer: Looked) -> tuple[Look, Path]:
    """Train up to the checkpoint; returns the trainer as it was there, and the checkpoint."""
    trainer.train()
    assert trainer.saved is not None
    [folder] = Path(str(trainer.args.output_dir)).glob("checkpoint-*")
    return trainer.saved, folder


def restored(trainer: Looked, checkpoint: Path) -> Look:
    """Go to a checkpoint from other weights and random streams; returns the trainer as it is there."""
    with torch.no_grad():
        for own in trainer.owners.parameters.values():
            for parameter in own.values():
                parameter.fill_(0.5)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(99)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint))
    except Restored:
        return trainer.restored
    raise AssertionError("nothing was restored")
