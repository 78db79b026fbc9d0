"""One round on the model: forward and backward of its micro-batches, the sums over processes, and what is left out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from hf_mtl.adapters import unchanging_weights
from hf_mtl.data import PackedBatch, PaddedBatch, route_parts
from hf_mtl.models import RoutedModel, losses_of, per_sequence
from hf_mtl.tasks import Task
from hf_mtl.training.combining import Combining
from hf_mtl.training.containment import Containment
from hf_mtl.training.last_good import LastGood
from hf_mtl.training.optimization import SuiteOptimizer
from hf_mtl.training.processes import gathered, sum_over_processes
from hf_mtl.training.rounds import Round
from hf_mtl.training.soft import SoftSharing

__all__ = ["RoundStep", "StepResult"]

_STOP = "stop"
_FIXED = ", which it is not without the last update of the shared parameters; that update is undone"


@dataclass(frozen=True)
class StepResult:
    """What a round came to.

    Args:
        losses: Each participating task's mean loss over its labels, in nats.
        norms: Each owner's gradient norm before clipping.
        computed: Tokens that this process computed, padding included.
        real: Those of them that are not padding.
        quarantined: Tasks that are to leave the run.
        weights: The weight of each task's loss for the shared parameters, where the objective has such.
        stop: Whether a process was asked to stop.
    """

    losses: Mapping[str, float]
    norms: Mapping[str, float]
    computed: int
    real: int
    quarantined: tuple[str, ...] = ()
    stop: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean_loss(self) -> float:
        """The mean of the tasks' finite losses; 0 if there is none."""
        finite = [loss for loss in self.losses.values() if math.isfinite(loss)]
        return sum(finite) / len(finite) if finite else 0.0


_Losses = Mapping[str, Tensor]
_Kept = list[tuple[PackedBatch | PaddedBatch, _Losses]]


@dataclass
class RoundStep:
    """Computes rounds.

    Args:
        model: The routed model.
        tasks: The tasks by name.
        optimizer: The owners' gradients.
        shared: The tasks that use each shared owner.
        containment: Judges the tasks.
        good: The last good weights.
        backward: The backward pass of a loss.
        forward_pass: The context of a forward pass and its losses.
        asked_to_stop: Whether this process was asked to stop.
        combining: Makes the shared parameters' gradient of the tasks' own; None adds these up.
        soft: Draws private adapters towards each other.
    """

    model: RoutedModel
    tasks: Mapping[str, Task]
    optimizer: SuiteOptimizer
    shared: Mapping[str, Collection[str]]
    containment: Containment
    good: LastGood
    backward: Callable[[Tensor], None]
    forward_pass: Callable[[], AbstractContextManager[object]]
    asked_to_stop: Callable[[], bool] = bool
    combining: Combining | None = None
    soft: SoftSharing | None = None

    @unchanging_weights()
    def run(self, round_: Round) -> StepResult:
        """Leave the gradients of a round, unclipped; tasks that went bad have none.

        Where a task that went bad uses shared parameters, its part is left out of theirs; where only the sum of all
        parts is there, the round is computed once more without it. If their last update is what made it bad, that
        update is undone first.
        """
        result, task_norms, kept = self._compute(round_)
        bad = self.containment.bad(result.losses, task_norms)
        fixed: Collection[str] = ()
        computed = round_
        if moved := self.good.moved(bad):
            fixed = self._undo_shared(moved, round_.without(round_.label_counts.keys() - set(bad)))
            computed = round_.without(bad)
            again, others, _ = self._compute(computed)
            losses = {**result.losses, **again.losses}
            result = replace(again, losses=losses, computed=result.computed, real=result.real)
            task_norms |= others
            bad = self.containment.bad(result.losses, task_norms)
        self.good.note(result.losses.keys() - bad, bad, round_.number)
        quarantined = []
        for name in bad:
            rows = self._bad_rows(kept, name) or set(round_.rows[name])
            fault = _FIXED if name in fixed else ""
            loss, norm, outcome = result.losses[name], task_norms.get(name), self.good.outcome(name)
            if self.containment.strike(name, round_.number, loss, norm, rows, fault=fault, outcome=outcome):
                quarantined.append(name)
        self.good.quarantine(quarantined)
        kept.clear()
        good = {n: norm for n, norm in task_norms.items() if n in round_.label_counts and n not in bad}
        left_out = [*bad, *self.containment.spikes(round_.number, good)]
        norms, weights = dict(result.norms), dict[str, float]()
        if self.combining is not None:
            weights |= self.combining.combine(good.keys() - left_out, result.losses, round_.number)
            norms |= self._shared_norms(good.keys() - left_out)
        elif any(set(left_out) & computed.label_counts.keys() & set(u) for u in self.shared.values()):
            again, _, _ = self._compute(round_.without(left_out))
            norms |= again.norms
        for name in left_out:
            if name in self.optimizer.tasks:
                self.optimizer.tasks[name].drop_gradients()
        self._drop_broken(norms)
        return replace(result, norms=norms, quarantined=tuple(quarantined), weights=weights)

    def _undo_shared(self, owners: Collection[str], round_: Round) -> Collection[str]:
        """Undo the last update of shared parameters if that is what made tasks bad.

        Args:
            owners: The shared parameters.
            round_: The round of the tasks that are bad.

        Returns:
            Those that are good without that update; if there are none, all is as it was.
        """
        self.good.swap(owners)
        result, task_norms, _ = self._compute(round_)
        good = round_.label_counts.keys() - set(self.containment.bad(result.losses, task_norms))
        if good:
            self.good.undo(owners)
        else:
            self.good.swap(owners)
        return good

    def _shared_norms(self, good: Collection[str]) -> dict[str, float]:
        """The norms of the shared gradients that tasks contributed to; the others are dropped."""
        present = self.optimizer.present()
        norms = {}
        for owner in self.shared.keys() & present.keys():
            if set(self.shared[owner]) & set(good):
                norms[owner] = float(present[owner].norm())
            else:
                present[owner].drop_gradients()
        return norms

    def _compute(self, round_: Round) -> tuple[StepResult, dict[str, float], _Kept]:
        """Forward and backward; also the norm of each task's own gradient, its part of the shared ones included."""
        names = round_.label_counts.keys()
        owners = {owner for owner, users in self.shared.items() if names & set(users)} | set(names)
        self.optimizer.start_round(owners & self.optimizer.tasks.keys())
        rows = None if self.combining is None else self.combining.gradients
        with contextlib.nullcontext() if rows is None else rows.collected(tuple(names)):
            losses, computed, real, kept = self._passes(round_)
        scalars = losses | {_STOP: torch.tensor(float(self.asked_to_stop()), device=self.model.device)}
        present = self.optimizer.present()
        buffers = [g for owner in present.values() for g in owner.gradients()]
        sums = sum_over_processes(buffers if rows is None else [*buffers, rows.rows.view(-1)], scalars)
        if self.soft is not None:
            self.soft.add(names)
        norms = self.optimizer.norms()
        of_rows = {} if rows is None else rows.norms()
        found = (*sums.values(), *norms.values(), *of_rows.values())
        values = iter(torch.stack([value.double() for value in found]).tolist())
        told, owned, shared = ({key: next(values) for key in group} for group in (sums, norms, of_rows))
        stop = told.pop(_STOP) > 0
        task_norms = {name: math.hypot(owned.get(name, 0.0), shared.get(name, 0.0)) for name in names}
        return StepResult(told, owned, computed, real, stop=stop), task_norms, kept

    def _passes(self, round_: Round) -> tuple[dict[str, Tensor], int, int, _Kept]:
        """The losses of a round, the tokens computed and the real ones among them, and each micro-batch's losses."""
        losses = {name: torch.zeros((), device=self.model.device) for name in round_.label_counts}
        kept: _Kept = []
        computed = real = 0
        for micro_batch in round_.micro_batches:
            batch = micro_batch.to(self.model.device)
            with self.forward_pass():
                each = losses_of(self.model, batch, self.tasks)
                means = {name: own.sum() / round_.label_counts[name] for name, own in each.items()}
            self.backward(torch.stack(list(means.values())).sum())
            for name, mean in means.items():
                losses[name] = losses[name] + mean.detach()
            kept.append((batch, {name: own.detach() for name, own in each.items()}))
            computed += batch.tokens
            real += batch.real_tokens if isinstance(batch, PaddedBatch) else batch.tokens
        return losses, computed, real, kept

    def _drop_broken(self, norms: Mapping[str, float]) -> None:
        """Shared gradients that are not finite although every task's own are: no update is made of them."""
        for owner in self.shared:
            if owner in norms and not math.isfinite(norms[owner]):
                self.optimizer.tasks[owner].drop_gradients()

    @staticmethod
    def _bad_rows(kept: _Kept, name: str) -> set[int]:
        """The rows of a task whose own loss is not finite, over all processes."""
        own: set[int] = set()
        for batch, losses in kept:
            if name not in losses:
                continue
            part = route_parts(batch.rows, batch.label_counts)[name].rows
            each_loss = per_sequence(losses[name], batch.label_counts[part])
            for (_, row), each in zip(batch.rows[part], each_loss, strict=True):
                if not bool(each.isfinite().all()):
                    own.add(row)
        return {row for rows in gathered(sorted(own)) for row in rows}
