"""Inner products of the tasks' gradients, and sums of gradients by weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["gramians", "norms", "weighted_sum"]


def gramians(rows: Tensor, blocks: Iterable[int]) -> Tensor:
    """The inner products of the rows within each block, in float64 on the CPU.

    What follows from them is a matter of T x T numbers, for which a device is slow and float32 loses the conflicts
    between nearly parallel gradients. Their sum over the blocks is that of the whole rows.

    Args:
        rows: `[T, P]`.
        blocks: Sizes of the B blocks, which sum to P.

    Returns:
        `[B, T, T]`.

    Example:
        >>> gramians(torch.tensor([[1.0, 2.0], [0.0, 3.0]]), [1, 1]).tolist()
        [[[1.0, 0.0], [0.0, 0.0]], [[4.0, 6.0], [6.0, 9.0]]]
    """
    # One block in float64 at a time: a copy of all rows would take twice their memory or more.
    wide = (part.double() for part in rows.split(list(blocks), dim=1))
    return torch.stack([part @ part.T for part in wide]).cpu()


def norms(rows: Tensor) -> Tensor:
    """The length of each row, `[T]`, float64 on the CPU."""
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return lengths.cpu()


def weighted_sum(weights: Tensor, rows: Tensor) -> Tensor:
    """`weights @ rows`, `[P]`, in the dtype and on the device of the rows.

    Args:
        weights: `[T]`, of any dtype and device.
        rows: `[T, P]`.
    """
    return weights.to(rows) @ rows
