"""How near the LoRAs of tasks are to each other, as relations of these tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch

from hf_mtl.adapters import LoraUpdate, inner_products
from hf_mtl.errors import ConfigError
from hf_mtl.models.routed_adapters import RoutedAdapters
from hf_mtl.relations import LearnedRelations, Relations

__all__ = ["learned_relations", "lora_layers"]


def lora_layers(model: RoutedAdapters, tasks: Collection[str]) -> list[dict[str, LoraUpdate]]:
    """For each layer that LoRAs of tasks change, these by task.

    Raises:
        ConfigError: If a task's adapter is not a LoRA.
    """
    by_path: dict[str, dict[str, LoraUpdate]] = {}
    for task in tasks:
        for path, update in model.updates(task).items() if model.has(task) else ():
            if not isinstance(update, LoraUpdate):
                raise ConfigError(
                    f"task {task!r}: distances are known between LoRAs only; it has another adapter."
                )
            by_path.setdefault(path, {})[task] = update
    return list(by_path.values())


@torch.no_grad()
def learned_relations(layers: Sequence[Mapping[str, LoraUpdate]], tau: float) -> Relations:
    """`LearnedRelations` of the adapters' changes in all layers.

    A layer counts for the pairs of tasks that both change it, and for the others by the one's change.
    """
    names = tuple(dict.fromkeys(task for updates in layers for task in updates))
    products = torch.zeros(len(names), len(names), dtype=torch.float64)
    for updates in layers:
        places = [names.index(task) for task in updates]
        products[torch.tensor(places)[:, None], torch.tensor(places)] += inner_products(
            list(updates.values())
        ).cpu()
    own = products.diagonal()
    return LearnedRelations(tau).of_distances(names, own[:, None] + own - 2 * products)
