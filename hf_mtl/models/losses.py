"""The losses of a batch of many tasks, from one pass."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from hf_mtl.data import PackedBatch, PaddedBatch, route_parts
from hf_mtl.models.routed_model import RoutedModel
from hf_mtl.tasks import Labelled, Task

__all__ = ["losses_of"]


def losses_of(
    model: RoutedModel, batch: PackedBatch | PaddedBatch, tasks: Mapping[str, Task]
) -> dict[str, Tensor]:
    """By task, the losses of its sequences `[R]` or labels `[N]` in a batch.

    A task's loss is their sum over what all sequences of its round count for (`Sequence.share`).

    Args:
        model: The routed model.
        batch: In the model's layout, on its device.
        tasks: The tasks of the batch's routes.
    """
    parts = route_parts(batch.rows, batch.label_counts)
    return {
        name: tasks[name].own_kind.losses(
            logits,
            Labelled(
                batch.label_ids[parts[name].labels],
                batch.targets[parts[name].rows],
                batch.label_counts[parts[name].rows],
            ),
            tasks[name].declared,
        )
        for name, logits in model.by_route(batch).items()
    }
