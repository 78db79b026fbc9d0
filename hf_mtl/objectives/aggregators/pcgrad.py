"""PCGrad: a task's gradient loses what points against another task's."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from hf_mtl.bounds import SEED
from hf_mtl.objectives.checks import out_of_bounds, refuse
from hf_mtl.objectives.draws import drawn
from hf_mtl.objectives.gramian import gramians, weighted_sum
from hf_mtl.objectives.objective import Aggregator, SharedGradients

__all__ = ["PCGrad"]


@final
class PCGrad(Aggregator):
    """Projecting conflicting gradients (Yu et al. 2020, arXiv:2001.06782).

    Each task's gradient visits the other tasks' original gradients in random order, and where the two point against
    each other it loses its part along the other. The update is the sum of what remains. With two tasks it conflicts
    with neither; with more it may, as a later projection can undo an earlier one.

    The order follows from the seed, the round and the tasks' names, so the order of the suite plays no part. All is
    computed from inner products, in float64.

    Args:
        per_block: Project within each matrix of the shared parameters by itself, instead of over the whole vector.
        seed: Another seed gives other orders.

    Example:
        >>> gradients = SharedGradients(
        ...     ("verbs", "words"), torch.tensor([1.0, 2.0]).double(), torch.tensor([[2.0, 0.0], [-1.0, 1.0]]), (2,), 0
        ... )
        >>> PCGrad().update(gradients).gradient.tolist()
        [1.0, 2.0]
    """

    name = "pcgrad"

    def __init__(self, *, per_block: bool = False, seed: int = 0) -> None:
        refuse(out_of_bounds(self.name, {"seed": SEED}, {"seed": seed}))
        self._per_block, self._seed = per_block, seed

    def aggregate(self, gradients: SharedGradients) -> Tensor:
        """The sum of the projected gradients, `[P]`."""
        products = gramians(gradients.rows, gradients.blocks)
        if not self._per_block:
            products = products.sum(0, keepdim=True)
        weights = _weights(products, self._orders(gradients))
        if not self._per_block:
            return weighted_sum(weights[0], gradients.rows)
        parts = gradients.rows.split(list(gradients.blocks), dim=1)
        return torch.cat([weighted_sum(own, part) for own, part in zip(weights, parts, strict=True)])

    def _orders(self, gradients: SharedGradients) -> list[list[int]]:
        """For each task the others, in the order of its visits."""
        numbers = range(len(gradients.names))
        return [sorted(set(numbers) - {task}, key=self._turns(gradients, task)) for task in numbers]

    def _turns(self, gradients: SharedGradients, task: int) -> Callable[[int], int]:
        names = gradients.names
        return lambda other: drawn(self._seed, gradients.round, names[task], names[other])


def _weights(products: Tensor, orders: list[list[int]]) -> Tensor:
    """The weights of the original gradients in the sum of the projected ones.

    Args:
        products: Inner products of the rows, `[B, T, T]`.
        orders: For each of the T tasks the others, in the order of its visits.

    Returns:
        `[B, T]`.
    """
    squares = products.diagonal(dim1=1, dim2=2)
    total = torch.zeros_like(squares)
    for task, others in enumerate(orders):
        own = torch.zeros_like(squares)
        own[:, task] = 1
        for other in others:
            inner = (products[:, other] * own).sum(1)
            # A gradient of length 0 has inner product 0, so nothing is divided by it.
            share = torch.where(inner < 0, inner / squares[:, other], 0)
            own[:, other] -= share
        total += own
    return total
