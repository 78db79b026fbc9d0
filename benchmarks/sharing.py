"""What sharing and objectives cost: a round of each structure, as a ratio to private adapters on the same rows.

    python benchmarks/sharing.py --rounds 5          # writes benchmarks/results/sharing-61m-float32.json

The 61M model, 8 tasks, 8 rows of about 64 tokens each per round, LoRA r=8 on all linear layers. All structures are in
one process and make their rounds in turn; each time is divided by that of `private` in the same turn. Processor seconds
of one thread: forward, backward, objective, clipping and optimizers.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from driver import initial_weights
from record import add_folder, commit, device, versions, write
from rich.console import Console
from rich.table import Table
from trainer import tasks, tokenizer
from variants.variant import llama
from workload import Spec

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments

TASKS = 8
STRUCTURES: dict[str, dict[str, Any]] = {
    "private": {},
    "shared": {"sharing": "shared"},
    "shared+private": {"sharing": "shared+private"},
    "shared+private, uncertainty": {"sharing": "shared+private", "objective": "uncertainty"},
    "shared+private, pcgrad": {"sharing": "shared+private", "objective": "pcgrad"},
    "shared+private, upgrad": {"sharing": "shared+private", "objective": "upgrad"},
    "soft": {"sharing": "soft"},
}


def trainer_of(
    structure: dict[str, Any], rounds: int, folder: Path, *, shape: str = "61m"
) -> MultiTaskTrainer:
    """A trainer whose rounds are run by hand."""
    spec = Spec(shape=shape, tasks=TASKS)
    args = MultiTaskTrainingArguments(
        str(folder), max_steps=rounds, learning_rate=1e-4, save_strategy="no", report_to="none", disable_tqdm=True,
        use_cpu=True, **structure,
    )  # fmt: skip
    model = llama(spec, str(initial_weights(spec, folder)))
    trainer = MultiTaskTrainer(model, args, tasks(TASKS, rounds), processing_class=tokenizer())
    trainer.plan = trainer.round_plan()
    trainer.create_optimizer()
    trainer.model.train()
    return trainer


def one_round(trainer: MultiTaskTrainer) -> float:
    """Processor seconds of the next round."""
    round_ = trainer.plan.next()
    assert round_ is not None
    began = time.process_time()
    result = trainer._round_step.run(round_)
    trainer.suite_optimizer.clip(result.norms)
    trainer.suite_optimizer.step()
    trainer.suite_optimizer.zero_grad()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    add_folder(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in STRUCTURES}
    measured_with = {
        "tasks": TASKS,
        "dtype": "float32",
        "versions": versions(),
        "device": f"{device()}, 1 thread",
        "commit": commit(),
    }
    with tempfile.TemporaryDirectory() as folder:
        trainers = {
            name: trainer_of(structure, options.rounds + 1, Path(folder))
            for name, structure in STRUCTURES.items()
        }
        for number in range(options.rounds + 1):
            for name, trainer in trainers.items():
                taken = one_round(trainer)
                if number:  # the first warms up
                    seconds[name].append(taken)
            if number:
                write(options.folder, "sharing-61m-float32", {**measured_with, **figures(seconds)})
    table = Table("structure", "median ratio to private", "median seconds")
    for name, ratio in figures(seconds)["ratios"].items():
        table.add_row(name, f"{ratio:.3f}", f"{statistics.median(seconds[name]):.2f}")
    Console().print(table)


def figures(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """The seconds of all rounds so far, and the ratios of them."""
    ratios = {
        name: statistics.median(own / private for own, private in zip(each, seconds["private"], strict=True))
        for name, each in seconds.items()
    }
    return {"seconds": seconds, "ratios": ratios}


if __name__ == "__main__":
    main()
