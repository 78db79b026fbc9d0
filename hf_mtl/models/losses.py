"""The losses of a batch of many tasks, from one pass, and whose they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from hf_mtl.data import PackedBatch, PaddedBatch, route_parts
from hf_mtl.models.routed_model import RoutedModel
from hf_mtl.tasks import Labelled, Task

__all__ = ["losses_of", "per_sequence"]


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


def per_sequence(values: Tensor, label_counts: Sequence[int]) -> tuple[Tensor, ...]:
    """A route's logits or losses, split by its sequences.

    Args:
        values: One row for each label, `[N, ...]`, or one for each sequence, `[R, ...]`, however many places of it a
            head reads.
        label_counts: The labels of each of its `R` sequences; they sum to `N`.

    Example:
        >>> import torch
        >>> [part.tolist() for part in per_sequence(torch.arange(3), (2, 1))]
        [[0, 1], [2]]
        >>> [part.tolist() for part in per_sequence(torch.arange(2), (2, 1))]
        [[0], [1]]
    """
    sizes = list(label_counts) if len(values) == sum(label_counts) else [1] * len(label_counts)
    parts: tuple[Tensor, ...] = values.split(sizes)
    return parts
