"""Small float64 runs that one process and two processes do alike; torchrun starts this file with the base and a folder.

torchrun --nproc-per-node 2 process_cases.py MODEL FOLDER
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from hf_mtl import MultiTaskTrainer, RoutedModel, Task
from hf_mtl.models import load_base
from runs import Poison, logged, state_of, tasks, trainer_of

BATCH = 4  # rows of a round over all processes: 17 and 5 rows end with short batches
POISONED = 5  # the round in which `mlp` meets a NaN, of several processes in the last one
SETTINGS: dict[str, Any] = {
    "max_steps": 12,
    "max_chunk_tokens": 30,
    "logging_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 5,
}
MIXTURES: dict[str, Any] = {
    "all": "all",
    "temperature": {"kind": "temperature", "temperature": 2.0},
    "round_robin": "round_robin",
}
CASES: dict[str, dict[str, Any]] = {
    **{name: {"mixture": mixture} for name, mixture in MIXTURES.items()},
    **{f"{name}, shared": {"mixture": mixture, "shared": True} for name, mixture in MIXTURES.items()},
    "one row": {"own": {"verbs": {"batch_size": 1}}},
    "nan": {"nan": True},
    "nan, shared": {"nan": True, "shared": True},
    "a scalarizer": {"objective": "gradnorm"},
    "an aggregator": {"objective": "pcgrad"},
    "shared+private": {"objective": "equal"},
    "an aggregator, nan": {"objective": "pcgrad", "nan": True},
}


def _model(folder: Path, suite: dict[str, Task], *, shared: bool) -> RoutedModel:
    base, identity = load_base(folder, dtype="float64")
    model = RoutedModel(base, identity=identity)
    if shared:
        model.add_adapter("common", suite["verbs"].adapter)  # type: ignore[arg-type]
        for name, task in suite.items():
            model.add_adapter(name, task.adapter)  # type: ignore[arg-type]
            model.add_route(name, {name: 1.0, "common": 1.0})
    return model


def run_case(name: str, folder: Path, out: Path, *, rank: int = 0, world: int = 1) -> dict[str, Any]:
    """Train; returns what this process ended with, and which tasks it computed a part of in each round."""
    case = CASES[name]
    suite = {key: replace(task, **case.get("own", {}).get(key, {})) for key, task in tasks().items()}
    sharing: dict[str, Any] = {}
    if "objective" in case:
        suite = {key: replace(task, adapter=suite["verbs"].adapter) for key, task in suite.items()}
        sharing = {"sharing": "shared+private", "objective": case["objective"], "gradient_cosines": True}
    trainer = trainer_of(
        folder, out, suite, model=_model(folder, suite, shared=case.get("shared", False)),
        per_device_train_batch_size=BATCH // world, mixture=case.get("mixture", "all"), **SETTINGS, **sharing,
    )  # fmt: skip
    if case.get("nan", False) and rank == world - 1:
        trainer.add_callback(Poison(trainer, "mlp", {POISONED}))
    trainer.train()
    return {
        "state": state_of(trainer),
        "log": logged(trainer),
        "incidents": trainer.containment.incidents,
        "steps": trainer.plan.steps,
        "updates": {owner: own.steps for owner, own in trainer.task_optimizers.items()},
        "computed": _computed(trainer),
    }


def _computed(trainer: MultiTaskTrainer) -> list[list[str]]:
    plan, computed = trainer.round_plan(), []
    while (round_ := plan.next()) is not None:
        computed.append(sorted({chunk.route for group in round_.groups for chunk in group}))
    return computed


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    ends = {name: run_case(name, folder, out / "runs", rank=rank, world=world) for name in CASES}
    torch.save(ends, out / f"{rank}.pt")


if __name__ == "__main__":
    main()
