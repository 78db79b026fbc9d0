"""The last good weights: copies of every owner's parameters from the last round in which a task of theirs was good.

Good is a round whose loss and gradient are finite, or an evaluation whose loss is. Both are of the weights before the
round's update, so they say nothing of that update: what it led to is known only from the next ones. A copy is taken
when a round has turned out good, before its update.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from hf_mtl.training.optimization import TaskOptimizer
from hf_mtl.training.state import State

__all__ = ["LastGood"]


class LastGood:
    """Keeps the copies, and puts owners back to them.

    Of a shared owner the optimizer's state is kept too, as its training goes on after an update that is undone; a
    task that leaves needs none.

    Args:
        optimizers: By owner.
        users: The tasks of each shared owner.

    Attributes:
        steps: By task, the `global_step` of its last good weights.
        learned: Tasks that were good after an update of a parameter of theirs.
        failing: Tasks that were bad the last time.
        out: Tasks that were put into quarantine.
    """

    def __init__(self, optimizers: Mapping[str, TaskOptimizer], users: Mapping[str, Collection[str]]) -> None:
        self._optimizers = optimizers
        self._users = users
        self._weights: dict[str, list[Tensor]] = {}
        self._moments: dict[str, list[dict[str, Tensor]]] = {}
        self._updates: dict[str, int] = {}  # by owner, how many lie behind the copy
        self.steps: dict[str, int] = {}
        self.learned: set[str] = set()
        self.failing: set[str] = set()
        self.out: set[str] = set()

    def note(self, good: Collection[str], bad: Collection[str], step: int) -> None:
        """Take note of a round, before its update.

        Args:
            good: Tasks whose loss and gradient are finite.
            bad: The others that took part.
            step: The `global_step` of the weights.
        """
        self.failing = (self.failing | set(bad)) - set(good) - self.out
        found = set(good) - self.out
        for name in found:
            self.steps[name] = step
            if any(self._now(owner) for owner in self._owners(name)):
                self.learned.add(name)
        for owner in self._optimizers:
            if found & {owner, *self._users.get(owner, ())}:
                self._keep(owner)

    def evaluated(self, losses: Mapping[str, float], step: int) -> None:
        """Take note of an evaluation; it does not make good what a round with the same weights showed to be bad."""
        finite = {name for name, loss in losses.items() if math.isfinite(loss)}
        self.note(finite - self.failing, losses.keys() - finite, step)

    def _owners(self, task: str) -> list[str]:
        return [owner for owner in self._optimizers if task in (owner, *self._users.get(owner, ()))]

    def _keep(self, owner: str) -> None:
        optimizer = self._optimizers[owner]
        if self._updates.get(owner) == optimizer.steps:
            return
        flats = [flat.flat.detach() for flat in optimizer.flats]
        if owner in self._weights:
            for copy, flat in zip(self._weights[owner], flats, strict=True):
                copy.copy_(flat)
        else:
            self._weights[owner] = [flat.clone() for flat in flats]
        if owner in self._users:
            self._moments[owner] = optimizer.copied_state()
        self._updates[owner] = optimizer.steps

    def moved(self, tasks: Collection[str]) -> list[str]:
        """The shared owners of some tasks that had an update since their copy."""
        return [
            owner
            for owner, users in self._users.items()
            if set(users) & set(tasks) and self._updates.get(owner, self._now(owner)) != self._now(owner)
        ]

    def _now(self, owner: str) -> int:
        return self._optimizers[owner].steps

    def swap(self, owners: Collection[str]) -> None:
        """Exchange owners' weights and their copies; once more, and all is as before."""
        with torch.no_grad():
            for owner in owners:
                for copy, flat in zip(self._weights[owner], self._optimizers[owner].flats, strict=True):
                    present = flat.flat.detach().clone()
                    flat.flat.copy_(copy)
                    copy.copy_(present)

    def undo(self, owners: Collection[str]) -> None:
        """After `swap`: make it as if the shared owners' last update had not been; their state and schedules follow."""
        for owner in owners:
            optimizer = self._optimizers[owner]
            for copy, flat in zip(self._weights[owner], optimizer.flats, strict=True):
                copy.copy_(flat.flat.detach())
            optimizer.put_back_state(self._moments[owner])
            optimizer.rewind(self._updates[owner])

    def quarantine(self, tasks: Collection[str]) -> None:
        """Put tasks that leave the run back to their copies."""
        self.out |= set(tasks)
        for task in tasks:
            self.put_back(task)

    def put_back(self, task: str) -> None:
        """Put a task's private parameters back; shared ones too once the last of their tasks is in quarantine."""
        owners = [owner for owner, users in self._users.items() if task in users and self.out >= set(users)]
        for owner in [task, *owners]:
            if owner in self._weights:
                with torch.no_grad():
                    for copy, flat in zip(self._weights[owner], self._optimizers[owner].flats, strict=True):
                        flat.flat.copy_(copy)
        self.failing.discard(task)

    def outcome(self, task: str) -> str:
        """What putting a task back comes to."""
        if task in self.learned:
            return f"back to its weights of step {self.steps[task]}, the last good ones"
        return "back to the weights it started with, for none of its updates made good ones"

    def lost(self, tasks: Collection[str]) -> bool:
        """Whether all tasks have gone bad, and none has good weights that it learned."""
        return set(tasks) <= self.out | self.failing and not self.learned & set(tasks)

    def state_dict(self) -> State:
        """The copies by owner and flat buffer, and all else."""
        sets = {"learned": self.learned, "failing": self.failing, "out": self.out}
        return {
            "weights": dict(self._weights),
            "moments": dict(self._moments),
            "updates": dict(self._updates),
            "steps": dict(self.steps),
            **{key: sorted(value) for key, value in sets.items()},
        }

    def load_state_dict(self, state: State) -> None:
        """Go on where `state_dict` was called. Owners and tasks that are gone are left out."""
        for owner in [name for name in self._optimizers if name in state["weights"]]:
            copies = list(zip(state["weights"][owner], self._optimizers[owner].flats, strict=True))
            if any(copy.shape != flat.flat.shape for copy, flat in copies):
                raise ValueError(f"the last good weights of {owner!r} have other shapes than its parameters")
            self._weights[owner] = [copy.to(flat.flat.device, copy=True) for copy, flat in copies]
            if owner in self._users:
                self._moments[owner] = state["moments"][owner]
            self._updates[owner] = state["updates"][owner]
        tasks = {*self._optimizers, *(task for users in self._users.values() for task in users)}
        self.steps = {name: step for name, step in state["steps"].items() if name in tasks}
        self.learned, self.failing, self.out = (
            set(state[key]) & tasks for key in ("learned", "failing", "out")
        )
