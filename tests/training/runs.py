"""A small run of three unlike tasks, as the tests of this folder take it apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import IA3Config, LoraConfig
from torch import Tensor
from transformers import AutoTokenizer, TrainerCallback

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, RoutedModel, Task
from hf_mtl.models import load_base

ARGUMENTS: dict[str, Any] = {
    "max_steps": 8,
    "per_device_train_batch_size": 3,
    "learning_rate": 1e-3,
    "warmup_steps": 2,
    "max_grad_norm": 0.5,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
}


def rows(kind: str, count: int) -> Dataset:
    """Rows of very different lengths."""
    texts = [" ".join([kind, *(["word"] * (1 + 7 * i % 11))]) for i in range(count)]
    return Dataset.from_list([{"text": text, "label": f"x{i % 3}"} for i, text in enumerate(texts)])


def tasks(**changes: Any) -> dict[str, Task]:
    """Three tasks; `changes` are settings of all of them."""
    template = PromptCompletion("{text}:", " {label}")
    lora: dict[str, Any] = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
    adapters = {
        "verbs": LoraConfig(target_modules="all-linear", **lora),
        "mlp": LoraConfig(target_modules=["q_proj", "v_proj", "down_proj"], **lora),
        "c/d": IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    }
    sizes = {"verbs": 17, "mlp": 40, "c/d": 5}
    return {
        name: Task(
            name,
            train=rows(name, sizes[name]),
            eval=rows(name, 4),
            template=template,
            adapter=adapter,
            **changes,
        )
        for name, adapter in adapters.items()
    }


def trainer_of(
    folder: Path, out: Path, suite: dict[str, Task], *, model: RoutedModel | None = None, **changes: Any
) -> MultiTaskTrainer:
    """A trainer on the tiny base; `changes` are training arguments."""
    if model is None:
        base, identity = load_base(folder)
        model = RoutedModel(base, identity=identity)
    args = MultiTaskTrainingArguments(str(out), **(ARGUMENTS | changes))
    return MultiTaskTrainer(
        model, args, suite.values(), processing_class=AutoTokenizer.from_pretrained(folder)
    )


def weights(trainer: MultiTaskTrainer, owner: str) -> dict[str, Tensor]:
    """Copies of an owner's parameters."""
    return {key: p.detach().clone() for key, p in trainer.owners.parameters[owner].items()}


def state_of(trainer: MultiTaskTrainer) -> dict[str, Tensor]:
    """Copies of all that a run ends with: every owner's weights, optimizer state and next learning rate."""
    state: dict[str, Tensor] = {}
    for owner, optimizer in trainer.task_optimizers.items():
        state |= {f"{owner} {key}": value.clone() for key, value in optimizer.state_tensors().items()}
        state |= {f"{owner} {key}": value for key, value in weights(trainer, owner).items()}
        state[f"{owner} rate"] = torch.tensor(optimizer.next_learning_rate, dtype=torch.float64)
    return state


def logged(trainer: MultiTaskTrainer) -> list[dict[str, float]]:
    """The log without what depends on the clock or the machine."""
    clock = ("tokens_per_second", "memory_mib", "runtime", "per_second", "flos")
    return [
        {key: value for key, value in entry.items() if not key.endswith(clock)}
        for entry in trainer.state.log_history
    ]


class Poison(TrainerCallback):
    """Puts a NaN into a task's weights for some rounds."""

    def __init__(self, trainer: MultiTaskTrainer, owner: str, rounds: set[int]) -> None:
        self.parameter = next(iter(trainer.owners.parameters[owner].values()))
        self.rounds = rounds
        self.kept: Tensor | None = None
        self.spoiled = torch.full_like(self.parameter, torch.nan)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.rounds:
            self.kept = self.parameter.detach().clone()
            self.parameter.data.copy_(self.spoiled)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # Unless the trainer has put the task's last good weights in the place of the spoiled ones.
        if self.kept is not None and torch.equal(self.parameter.nan_to_num(), self.spoiled.nan_to_num()):
            self.parameter.data.copy_(self.kept)
        self.kept = None
