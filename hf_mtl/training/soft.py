"""Soft sharing: private adapters that a penalty draws towards each other."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from hf_mtl.adapters import LoraUpdate, add_closeness
from hf_mtl.models import RoutedModel, learned_relations, lora_layers
from hf_mtl.relations import Relations
from hf_mtl.tasks import Sharing

__all__ = ["SoftSharing"]


class SoftSharing:
    """Adds the penalty of a soft structure to the tasks' gradients; see `hf_mtl.adapters.closeness`.

    Only tasks that take part in a round are moved. Each is drawn to where all the others stand, those that sit the
    round out or have finished included; but nobody to an adapter that is not finite, which is on its way out.

    Args:
        model: The routed model.
        tasks: The tasks, each with a LoRA of its own.
        sharing: The structure: its strength, and relations or the temperature to learn them with if it has such.
    """

    def __init__(self, model: RoutedModel, tasks: Collection[str], sharing: Sharing) -> None:
        self._sharing = sharing
        self._layers = lora_layers(model, tasks)
        self._weights: dict[str, list[Tensor]] = {}
        for task, update in (own for updates in self._layers for own in updates.items()):
            self._weights.setdefault(task, []).extend((update.lora_A, update.lora_B))

    @property
    def relations(self) -> Relations | None:
        """Those that the penalty goes by: the given ones, or what is learned of the adapters as they are; or None."""
        if self._sharing.tau is None:
            return self._sharing.relations
        return learned_relations(self._layers_of(self._weights), self._sharing.tau)

    def add(self, present: Collection[str]) -> None:
        """Add the penalty's gradient to those of the tasks that take part in a round."""
        layers = self._layers_of(self._finite())
        relations, tau = self._sharing.relations, self._sharing.tau
        if tau is not None and layers:
            relations = learned_relations(layers, tau)
        strength = self._sharing.strength
        coefficients = {tasks: _coefficients(tasks, strength, relations) for tasks in {*map(tuple, layers)}}
        for updates in layers:
            drawn = [task in present for task in updates]
            if any(drawn):
                add_closeness(list(updates.values()), coefficients[tuple(updates)], drawn=drawn)

    def _finite(self) -> set[str]:
        """The tasks whose adapters are finite."""
        norms = torch.stack([get_total_norm(own) for own in self._weights.values()]).tolist()
        return {task for task, norm in zip(self._weights, norms, strict=True) if math.isfinite(norm)}

    def _layers_of(self, tasks: Collection[str]) -> list[dict[str, LoraUpdate]]:
        """The layers that at least two of the tasks change, with their updates."""
        layers = [{task: own[task] for task in own if task in tasks} for own in self._layers]
        return [own for own in layers if len(own) > 1]


def _coefficients(tasks: tuple[str, ...], strength: float, relations: Relations | None) -> Tensor:
    """`C [T, T]` of the penalty, float64."""
    if relations is None:
        count = len(tasks)
        return strength * (torch.eye(count, dtype=torch.float64) - 1 / count)
    values = relations.subset(tasks).non_negative().symmetric().values
    relations_TT = torch.tensor(values, dtype=torch.float64).fill_diagonal_(0)
    return strength * (torch.diag(relations_TT.sum(1)) - relations_TT)
