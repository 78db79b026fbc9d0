"""Each task's own gradient of the shared parameters, from the one pass that all tasks are in.

A batch is sorted by route, so a shared LoRA acts on each task's tokens as a term of its own. In a round each term is
given its own tensors in the place of the matrices: same storage, other `.grad`. What one backward pass then leaves is a
row per task, with no backward per task. Memory: tasks x shared parameters.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hf_mtl.adapters import LoraUpdate
from hf_mtl.errors import ConfigError
from hf_mtl.models import RoutedModel
from hf_mtl.training.flat import FlatParameters
from hf_mtl.training.owners import Owners, adapter_of

__all__ = ["TaskGradients"]


@dataclass(frozen=True)
class _Matrix:
    """One of a shared adapter's parameters, and where it lies in a row of its owner."""

    parameter: nn.Parameter
    start: int

    def stand_in(self, row: Tensor) -> Tensor:
        """A tensor of the parameter's storage whose gradients add up in a row `[P]`."""
        own = self.parameter.detach().requires_grad_()
        own.grad = row[self.start : self.start + own.numel()].view_as(own)
        return own


class TaskGradients:
    """The rows of one run, opened anew for each round.

    Args:
        model: The routed model.
        owners: Who owns which parameters.
        flats: By shared owner, its one buffer.

    Attributes:
        names: The tasks of the round that use shared parameters.
        rows: `[T, P]`, the gradient of each of these tasks; 0 where it does not use a parameter.
        blocks: The sizes of the matrices that P consists of.

    Raises:
        ConfigError: If a shared adapter is something else than a plain LoRA.
    """

    def __init__(self, model: RoutedModel, owners: Owners, flats: Mapping[str, FlatParameters]) -> None:
        odd = [owner for owner in owners.users if not model.is_lora(adapter_of(owner))]
        if odd:
            raise ConfigError(
                f"objective: it needs per-task gradients, which only shared LoRAs have; {adapter_of(odd[0])!r} is "
                f"not a LoRA. Leave `objective` at 'equal', or share a LoRA."
            )
        self._users = owners.users
        self._flats = flats
        self._updates = {owner: _updates(model, owner) for owner in owners.users}
        self._matrices = {owner: _matrices(flat) for owner, flat in flats.items()}
        self.names: tuple[str, ...] = ()
        self.rows = torch.empty(0)
        self.blocks: tuple[int, ...] = ()
        self._present: tuple[str, ...] = ()

    @contextlib.contextmanager
    def collected(self, names: Sequence[str]) -> Iterator[None]:
        """Let backward passes inside the `with` block add up in the rows of some tasks, which start at zero."""
        self._open(names)
        try:
            yield
        finally:
            for update in (update for own in self._updates.values() for update in own):
                update.stand_ins = {}

    def _open(self, names: Sequence[str]) -> None:
        self._present = tuple(o for o, users in self._users.items() if set(users) & set(names))
        used = {task for owner in self._present for task in self._users[owner]}
        self.names = tuple(name for name in names if name in used)
        sizes = [self._flats[owner].flat.numel() for owner in self._present]
        one = next(iter(self._flats.values())).flat
        self.rows = torch.zeros(len(self.names), sum(sizes), dtype=one.dtype, device=one.device)
        self.blocks = tuple(
            matrix.parameter.numel() for owner in self._present for matrix in self._matrices[owner].values()
        )
        for owner, part in self._parts(self.rows):
            matrices = self._matrices[owner]
            own = {task: part[i] for i, task in enumerate(self.names) if task in self._users[owner]}
            for update in self._updates[owner]:
                pair = matrices[id(update.lora_A)], matrices[id(update.lora_B)]
                update.stand_ins = {
                    task: (pair[0].stand_in(row), pair[1].stand_in(row)) for task, row in own.items()
                }

    def norms(self) -> dict[str, Tensor]:
        """The norm of each task's row, scalars."""
        return dict(zip(self.names, torch.linalg.vector_norm(self.rows, dim=1), strict=True))

    def spread(self, gradient_P: Tensor) -> None:
        """Give every shared owner of the round its part of the gradient."""
        for owner, part in self._parts(gradient_P):
            flat = self._flats[owner].flat
            assert flat.grad is not None
            flat.grad.copy_(part)

    def _parts(self, values: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Cut `[..., P]` into the owners of the round."""
        sizes = [self._flats[owner].flat.numel() for owner in self._present]
        return zip(self._present, values.split(sizes, dim=-1), strict=True)


def _updates(model: RoutedModel, owner: str) -> list[LoraUpdate]:
    return [update for update in model.updates(adapter_of(owner)).values() if isinstance(update, LoraUpdate)]


def _matrices(flat: FlatParameters) -> dict[int, _Matrix]:
    """By identity, the parameters of a buffer."""
    found: dict[int, _Matrix] = {}
    start = 0
    for parameter in flat.parameters:
        found[id(parameter)] = _Matrix(parameter, start)
        start += parameter.numel()
    return found
