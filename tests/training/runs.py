"""A small run of three unlike tasks, as the tests of this folder take it apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import IA3Config, LoraConfig
from torch import Tensor
from transformers import AutoTokenizer

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
    lora = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
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


def logged(trainer: MultiTaskTrainer) -> list[dict[str, float]]:
    """The log without what depends on the clock or the machine."""
    clock = ("tokens_per_second", "memory_mib", "runtime", "per_second", "flos")
    return [
        {key: value for key, value in entry.items() if not key.endswith(clock)}
        for entry in trainer.state.log_history
    ]
