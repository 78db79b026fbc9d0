"""Soft sharing: private adapters that a penalty draws towards each other."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from hf_mtl.adapters import LoraUpdate, add_closeness
from hf_mtl.models import RoutedModel
from hf_mtl.tasks import Sharing

__all__ = ["SoftSharing"]


class SoftSharing:
    """Adds the penalty of a soft structure to the tasks' gradients; see `hf_mtl.adapters.closeness`.

    Only tasks that take part in a round are moved. Each is drawn to where all the others stand, those that sit the
    round out or have finished included.

    Args:
        model: The routed model.
        tasks: The tasks, each with a LoRA of its own.
        sharing: The structure: its strength, and relations if it has such.
    """

    def __init__(self, model: RoutedModel, tasks: Collection[str], sharing: Sharing) -> None:
        by_path: dict[str, dict[str, LoraUpdate]] = {}
        for task in tasks:
            for path, update in model.updates(task).items() if model.has(task) else ():
                assert isinstance(update, LoraUpdate)
                by_path.setdefault(path, {})[task] = update
        self._layers = [
            (updates, _coefficients(tuple(updates), sharing))
            for updates in by_path.values()
            if len(updates) > 1
        ]

    def add(self, present: Collection[str]) -> None:
        """Add the penalty's gradient to those of the tasks that take part in a round."""
        for updates, coefficients_TT in self._layers:
            drawn = [task in present for task in updates]
            if any(drawn):
                add_closeness(list(updates.values()), coefficients_TT, drawn=drawn)


def _coefficients(tasks: tuple[str, ...], sharing: Sharing) -> Tensor:
    """`C [T, T]` of the penalty, float64."""
    if sharing.relations is None:
        count = len(tasks)
        return sharing.strength * (torch.eye(count, dtype=torch.float64) - 1 / count)
    values = sharing.relations.subset(tasks).non_negative().symmetric().values
    relations_TT = torch.tensor(values, dtype=torch.float64).fill_diagonal_(0)
    return sharing.strength * (torch.diag(relations_TT.sum(1)) - relations_TT)
