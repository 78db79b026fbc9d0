"""Soft sharing: private adapters that a penalty draws towards each other."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from hf_mtl.adapters import add_closeness
from hf_mtl.models import RoutedModel, learned_relations, lora_layers
from hf_mtl.relations import Relations
from hf_mtl.tasks import Sharing

__all__ = ["SoftSharing"]


class SoftSharing:
    """Adds the penalty of a soft structure to the tasks' gradients; see `hf_mtl.adapters.closeness`.

    Only tasks that take part in a round are moved. Each is drawn to where all the others stand, those that sit the
    round out or have finished included.

    Args:
        model: The routed model.
        tasks: The tasks, each with a LoRA of its own.
        sharing: The structure: its strength, and relations or the temperature to learn them with if it has such.
    """

    def __init__(self, model: RoutedModel, tasks: Collection[str], sharing: Sharing) -> None:
        layers = [own for own in lora_layers(model, tasks) if len(own) > 1]
        self._sharing = sharing
        self._layers = [
            (own, _coefficients(tuple(own), sharing.strength, sharing.relations)) for own in layers
        ]

    @property
    def relations(self) -> Relations | None:
        """Those that the penalty goes by: the given ones, or what is learned of the adapters as they are; or None."""
        if self._sharing.tau is None:
            return self._sharing.relations
        return learned_relations([own for own, _ in self._layers], self._sharing.tau)

    def add(self, present: Collection[str]) -> None:
        """Add the penalty's gradient to those of the tasks that take part in a round."""
        learned = None if self._sharing.tau is None else self.relations
        for updates, coefficients_TT in self._layers:
            drawn = [task in present for task in updates]
            if learned is not None:
                coefficients_TT = _coefficients(tuple(updates), self._sharing.strength, learned)
            if any(drawn):
                add_closeness(list(updates.values()), coefficients_TT, drawn=drawn)


def _coefficients(tasks: tuple[str, ...], strength: float, relations: Relations | None) -> Tensor:
    """`C [T, T]` of the penalty, float64."""
    if relations is None:
        count = len(tasks)
        return strength * (torch.eye(count, dtype=torch.float64) - 1 / count)
    values = relations.subset(tasks).non_negative().symmetric().values
    relations_TT = torch.tensor(values, dtype=torch.float64).fill_diagonal_(0)
    return strength * (torch.diag(relations_TT.sum(1)) - relations_TT)
