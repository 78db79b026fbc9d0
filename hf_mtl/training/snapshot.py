"""Everything that a run's future depends on, as tensors and JSON, and back.

In a checkpoint's folder: `weights` and `best` (adapters by name), `good` (the last good weights), `optimizer`
(each owner's state by the names of its parameters), `random` (every process's random streams), `run` (what the run was
given) and `state` (where it stands).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import torch
from torch import Tensor

from hf_mtl.errors import CheckpointError, listing
from hf_mtl.objectives import Objective
from hf_mtl.relations import CosineMeter
from hf_mtl.tasks import TaskSuite
from hf_mtl.training.best import BestWeights
from hf_mtl.training.containment import Containment
from hf_mtl.training.last_good import LastGood
from hf_mtl.training.meter import TaskMeter
from hf_mtl.training.optimization import TaskOptimizer
from hf_mtl.training.owners import Owners
from hf_mtl.training.rounds import RoundLoader, RoundPlan
from hf_mtl.training.settings import TaskSettings

__all__ = [
    "Parts",
    "Saved",
    "check_run",
    "restore_optimizers",
    "restore_state",
    "restore_weights",
    "run_document",
    "snapshot",
]

logger = logging.getLogger(__name__)

Tensors = dict[str, dict[str, Tensor]]
Json = dict[str, Any]  # Any: plain JSON


class Saved(Protocol):
    """A checkpoint that can be read."""

    def tensors(self, stem: str) -> dict[str, Tensor]:
        """The tensors of a file."""

    def document(self, stem: str) -> Any:
        """The content of a JSON file."""


class Parts:
    """Abstract: the parts of a trainer that have a state."""

    suite: TaskSuite
    owners: Owners
    plan: RoundPlan
    loader: RoundLoader
    best: BestWeights
    containment: Containment
    good: LastGood
    meter: TaskMeter
    shared_objective: Objective
    cosines: CosineMeter
    task_optimizers: dict[str, TaskOptimizer]
    task_settings: dict[str, TaskSettings]


def _numbered(by_owner: Mapping[str, Mapping[str, Tensor]], owners: list[str]) -> dict[str, Tensor]:
    """`{owner: {name: tensor}}` as `{"<owner's number>/<name>": tensor}`; the names of owners are any text."""
    return {
        f"{owners.index(owner)}/{name}": tensor.detach()
        for owner, named in by_owner.items()
        for name, tensor in named.items()
    }


def _of(tensors: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    prefix = f"{number}/"
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def run_document(parts: Parts, *, fingerprint: str, seed: int, processes: int) -> Json:
    """What a run was given, as far as a resume must know it."""
    tasks = {
        name: {
            "settings": asdict(parts.task_settings[name]),
            "rows": source.fingerprint(),
            "count": source.rows,
            "kind": repr(parts.suite[name].own_kind),
            "labels": list(parts.suite[name].declared.labels or ()),
        }
        for name, source in parts.plan.sources.items()
    }
    return {"base": fingerprint, "seed": seed, "processes": processes, "tasks": tasks}


def snapshot(parts: Parts, *, run: Json, more: Json) -> tuple[Tensors, Json]:
    """The state of a run: tensors by file and key, and documents.

    Args:
        parts: What has a state.
        run: What `run_document` gave.
        more: Further entries of the document `state`.
    """
    owners = list(parts.owners.parameters)
    tensors: Tensors = {
        "weights": _numbered(parts.owners.parameters, owners),
        "optimizer": _numbered(
            {name: own.state_tensors() for name, own in parts.task_optimizers.items()}, owners
        ),
        "best": _numbered(parts.best.weights, owners),
        "good": _numbered(parts.good.tensors(), owners),
    }
    state = {
        "owners": owners,
        "updates": {name: own.steps for name, own in parts.task_optimizers.items()},
        "learning_rates": {name: own.learning_rate for name, own in parts.task_optimizers.items()},
        "plan": parts.plan.state_dict(),
        "containment": parts.containment.state_dict(),
        "best": parts.best.state_dict(),
        "good": parts.good.state_dict(),
        "meter": parts.meter.state_dict(),
        "objective": parts.shared_objective.state_dict(),
        "cosines": parts.cosines.state_dict(),
        **more,
    }
    return tensors, {"run": run, "state": state}


def check_run(saved: Json, now: Json, *, where: str) -> None:
    """Compare what a run was given with what it is given now; differences that are well defined are logged.

    Raises:
        CheckpointError: With all differences that a resume cannot make sense of.
    """
    problems = []
    if saved["base"] != now["base"]:
        problems.append(
            f"the base has the fingerprint {now['base']}, and the checkpoint's had {saved['base']}: other weights."
        )
    if saved["seed"] != now["seed"]:
        problems.append(
            f"the data seed is {now['seed']}, and was {saved['seed']}: the batches would be others."
        )
    for name in saved["tasks"].keys() & now["tasks"].keys():
        problems += _task_problems(name, saved["tasks"][name], now["tasks"][name])
    if problems:
        raise CheckpointError(
            f"{where} cannot be resumed:\n" + "\n".join(f"  - {problem}" for problem in sorted(problems))
            + "\nSet back what changed, or give a changed task a new name: it then starts anew, the others go on."
        )  # fmt: skip
    for name in sorted(saved["tasks"].keys() - now["tasks"].keys()):
        logger.warning("resume: task %r is no longer there; its state in %s is left alone.", name, where)
    for name in sorted(now["tasks"].keys() - saved["tasks"].keys()):
        logger.warning("resume: task %r is new; it starts at its first step.", name)
    if saved["processes"] != now["processes"]:
        logger.warning(
            "resume: %d processes instead of %d; the batches stay the same, sums may round differently.",
            now["processes"],
            saved["processes"],
        )


def _task_problems(name: str, saved: Json, now: Json) -> list[str]:
    problems = []
    if None not in (saved["rows"], now["rows"]) and saved["rows"] != now["rows"]:
        problems.append(
            f"task {name!r}: its training rows changed ({saved['count']} then, {now['count']} now, or other content)."
        )
    if saved.get("labels", now["labels"]) != now["labels"]:
        problems.append(f"task {name!r}: its labels are {now['labels']!r}, and were {saved['labels']!r}.")
    if saved.get("kind", now["kind"]) != now["kind"]:
        logger.warning("resume: task %r: its kind is %s now, and was %s.", name, now["kind"], saved["kind"])
    before, after = saved["settings"], now["settings"]
    if before["batch_size"] != after["batch_size"]:
        problems.append(
            f"task {name!r}: a step takes {after['batch_size']} rows, and took {before['batch_size']}; its place in "
            f"the data would be another."
        )
    if before["optim"] != after["optim"]:
        problems.append(f"task {name!r}: the optimizer is {after['optim']!r}, and was {before['optim']!r}.")
    changed = [key for key in after if before.get(key) != after[key] and key not in ("batch_size", "optim")]
    for key in changed:
        logger.warning("resume: task %r: %s is %r now, and was %r.", name, key, after[key], before.get(key))
    return problems


def restore_weights(parts: Parts, saved: Saved, *, where: str) -> None:
    """Restore the weights of all owners that the checkpoint knows.

    Raises:
        CheckpointError: If an adapter has other parameters than the saved one; then nothing has been changed.
    """
    numbers = {name: i for i, name in enumerate(saved.document("state")["owners"])}
    tensors = saved.tensors("weights")
    pairs: list[tuple[Tensor, Tensor]] = []
    for owner, parameters in parts.owners.parameters.items():
        if owner not in numbers:
            continue
        own = _of(tensors, numbers[owner])
        shapes = {key: list(p.shape) for key, p in parameters.items()}
        if shapes != {key: list(t.shape) for key, t in own.items()}:
            differ = [k for k in {**shapes, **own} if k not in own or shapes.get(k) != list(own[k].shape)]
            odd = listing(differ[:4])
            raise CheckpointError(
                f"{where}: the adapter of {owner!r} is another one than the checkpoint's; they differ in {odd}. Set "
                f"its config back, or give the task a new name to start it anew."
            )  # fmt: skip
        pairs += [(parameter, own[key]) for key, parameter in parameters.items()]
    with torch.no_grad():
        for parameter, tensor in pairs:
            parameter.copy_(tensor)


def restore_optimizers(parts: Parts, saved: Saved) -> None:
    """Restore every owner's optimizer state, its place in the schedule, and its last good weights."""
    state, tensors = saved.document("state"), saved.tensors("optimizer")
    for number, owner in enumerate(state["owners"]):
        if owner in parts.task_optimizers:
            optimizer = parts.task_optimizers[owner]
            optimizer.load_state_tensors(_of(tensors, number))
            optimizer.rewind(state["updates"][owner])
            optimizer.learning_rate = state["learning_rates"][owner]
    good = saved.tensors("good")
    copies = {owner: _of(good, number) for number, owner in enumerate(state["owners"])}
    parts.good.load(state["good"], {owner: own for owner, own in copies.items() if own})


def restore_state(parts: Parts, saved: Saved) -> None:
    """Restore the place in the rounds, strikes, best weights and figures."""
    state, tensors = saved.document("state"), saved.tensors("best")
    parts.plan.load_state_dict(state["plan"])
    parts.containment.load_state_dict(state["containment"])
    best = {owner: _of(tensors, number) for number, owner in enumerate(state["owners"])}
    parts.best.load_state_dict(state["best"], {owner: own for owner, own in best.items() if own})
    parts.meter.load_state_dict(state["meter"])
    parts.cosines.load_state_dict(state["cosines"])
    parts.shared_objective.load_state_dict(state["objective"])
