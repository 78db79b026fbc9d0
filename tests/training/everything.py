"""Runs with everything that a resume has to carry: sharing, an objective and a mixture with state, a stream, exits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from datasets import Dataset
from peft import LoraConfig

from hf_mtl import MultiTaskTrainer, Task
from runs import Poison, rows, tasks

LEAVES_EARLY, BROKEN, STREAMED, CLASSES, NEW = "verbs", "mlp", "c/d", "classes", "new"
POISONED = {BROKEN: {19, 20, 21, 22}, STREAMED: {5}}  # rounds before which a NaN is put into a task's weights
SETTINGS: dict[str, Any] = {
    "full_determinism": True,
    "objective": "gradnorm",
    "gradient_cosines": True,
    "mixture": {"kind": "annealed", "start": 1.0, "end": 5.0, "unit": "tokens", "cap": 40},
    "max_strikes": 2,
    "spike_factor": 2.0,
    "skip_spikes": True,
    "learning_rate": 1e-2,
}
GROUP = (LEAVES_EARLY, BROKEN, STREAMED)
# By name, how the tasks share; where a task is new, it joins the group, and the task of classes stays outside.
SHARING: dict[str, Any] = {
    "shared+private": "shared+private",
    "a group": {"name": "groups", "groups": {"near": GROUP}},
    "a group and a new task": {"name": "groups", "groups": {"near": (*GROUP, NEW)}},
}
LORA = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules="all-linear")


def suite(sharing: str) -> dict[str, Task]:
    """A task that stops early, one that goes into quarantine, one that streams, and one that has a head."""
    made = {name: replace(task, adapter=LORA) for name, task in tasks().items()}
    # A loss of which more is better falls, and so the task stops.
    made[LEAVES_EARLY] = replace(
        made[LEAVES_EARLY], metric_for_best_model="loss", greater_is_better=True, early_stopping_patience=5
    )
    streamed = rows(STREAMED, 11).to_iterable_dataset()
    made[STREAMED] = replace(made[STREAMED], train=streamed, max_steps=20)
    made[CLASSES] = Task(
        CLASSES, train=_classes(20), eval=_classes(6), kind="text-classification", adapter=LORA,
        metric_for_best_model="accuracy", max_steps=20,
    )  # fmt: skip
    if "new" in sharing:
        made[NEW] = replace(made[BROKEN], name=NEW, train=rows(NEW, 13), eval=rows(NEW, 4), max_steps=12)
    return made


def poison(trainer: MultiTaskTrainer) -> None:
    """Let tasks of the run meet NaNs."""
    for name, when in POISONED.items():
        trainer.add_callback(Poison(trainer, name, when))


def _classes(count: int) -> Dataset:
    texts = [row["text"] for row in rows(CLASSES, count)]
    return Dataset.from_list(
        [{"text": text, "label": "long" if text.count("word") > 5 else "short"} for text in texts]
    )
