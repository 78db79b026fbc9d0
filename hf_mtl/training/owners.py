"""Whose parameters are whose: an adapter that one task uses is that task's, one that several use is the suite's."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn

from hf_mtl.errors import CheckpointError, ConfigError, listing
from hf_mtl.models import RoutedModel
from hf_mtl.training.state import State

__all__ = [
    "SHARED",
    "Group",
    "Owners",
    "Shapes",
    "adapter_of",
    "called_like_shared",
    "check_shapes",
    "owners_of",
]

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
"""The shapes of an owner's parameters by their names."""

SHARED = "shared/"  # before an adapter's name, it names the owner of shared parameters


def adapter_of(owner: str) -> str:
    """The adapter of a shared owner.

    >>> adapter_of("shared/news")
    'news'
    """
    return owner.removeprefix(SHARED)


@dataclass(frozen=True)
class Group:
    """Tasks that share parameters, directly or through other tasks; most often a single task.

    Args:
        tasks: Their names.
        owners: The owners of everything that their routes use.
    """

    tasks: tuple[str, ...]
    owners: tuple[str, ...]


@dataclass(frozen=True)
class Owners:
    """The parameters that are trained.

    Args:
        parameters: By owner, then by name. An owner is a task, or `shared/<adapter>`.
        users: The tasks that use each shared owner.
    """

    parameters: Mapping[str, Mapping[str, nn.Parameter]]
    users: Mapping[str, Collection[str]]

    def groups(self, tasks: Collection[str]) -> tuple[Group, ...]:
        """Tasks as connected groups: no two groups have a parameter in common.

        >>> owners = Owners(dict.fromkeys(("a", "b", "c", "shared/s"), {}), {"shared/s": ("a", "c")})
        >>> for group in owners.groups("abc"):
        ...     print(group.tasks, group.owners)
        ('a', 'c') ('a', 'c', 'shared/s')
        ('b',) ('b',)
        """
        together = {task: frozenset({task}) for task in tasks}
        for users in self.users.values():
            union = frozenset[str]().union(*(together[task] for task in users))
            together |= dict.fromkeys(union, union)
        return tuple(
            Group(
                tuple(task for task in tasks if task in union),
                tuple(owner for owner in self.parameters if union & {owner, *self.users.get(owner, ())}),
            )
            for union in dict.fromkeys(together.values())
        )

    def state_dict(self) -> State:
        """The weights, by owner and name."""
        return {owner: dict(own) for owner, own in self.parameters.items()}

    def load_state_dict(self, state: State) -> None:
        """Take the weights over; owners that the state lacks keep theirs.

        Raises:
            CheckpointError: If an owner has other parameters than the saved one; then nothing has been changed.
        """
        pairs: list[tuple[Tensor, Tensor]] = []
        there = {owner: own for owner, own in state.items() if owner in self.parameters}
        check_shapes(_shapes(self.parameters), _shapes(there))
        for owner, parameters in self.parameters.items():
            own = state.get(owner, parameters)
            pairs += [(parameter, own[key]) for key, parameter in parameters.items()]
        with torch.no_grad():
            for parameter, tensor in pairs:
                parameter.copy_(tensor)


def check_shapes(now: Mapping[str, Shapes], saved: Mapping[str, Shapes]) -> None:
    """Compare the parameters of owners with those that a checkpoint holds of them; it may lack an owner.

    Raises:
        CheckpointError: If an owner has others.
    """
    for owner, shapes in now.items():
        own = saved.get(owner, shapes)
        differ = [key for key in {**shapes, **own} if shapes.get(key) != own.get(key)]
        if differ:
            raise CheckpointError(
                f"the adapter of {owner!r} is another one than the checkpoint's; they differ in "
                f"{listing(differ[:4])}. Set its config back, or give the task a new name to start it anew."
            )


def _shapes(parameters: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, tuple[int, ...]]]:
    return {owner: {key: tuple(t.shape) for key, t in own.items()} for owner, own in parameters.items()}


def called_like_shared(task: str) -> str:
    """What is wrong with a task that is called like the owner of a shared adapter."""
    return f"task {task!r}: the name is that of a shared adapter's parameters; rename the task."


def owners_of(model: RoutedModel, tasks: Collection[str]) -> Owners:
    """Find out who owns which of the adapters that the tasks' routes use.

    Raises:
        ConfigError: If a task is called like the owner of a shared adapter, or uses no adapter.
    """
    users: dict[str, list[str]] = {}
    for task in tasks:
        for adapter in model.routes[task]:
            users.setdefault(adapter, []).append(task)
    problems = [
        f"task {task!r}: its route has no adapter, so there is nothing to train."
        for task in tasks
        if not model.routes[task]
    ]
    shared = {SHARED + adapter: tuple(own) for adapter, own in users.items() if len(own) > 1}
    problems += [called_like_shared(task) for task in tasks if task in shared]
    if problems:
        raise ConfigError(problems)
    parameters: dict[str, dict[str, nn.Parameter]] = {}
    for adapter, own in users.items():
        owner = own[0] if len(own) == 1 else SHARED + adapter
        named = {f"{adapter}:{key}": p for key, p in model.adapter_parameters(adapter).items()}
        parameters[owner] = parameters.get(owner, {}) | named
    for task in tasks:
        if scales := model.route_parameters(task):
            parameters[task] = parameters.get(task, {}) | {f"{task}:{key}": p for key, p in scales.items()}
    order = [*(task for task in tasks if task in parameters), *shared]
    return Owners({owner: parameters[owner] for owner in order}, shared)
