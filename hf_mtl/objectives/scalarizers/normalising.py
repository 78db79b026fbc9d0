"""The common scale of loss weights: T tasks that take part have the sum T, as equal weights have."""

from __future__ import annotations

from torch import Tensor

__all__ = ["sum_to_count"]


def sum_to_count(weights: Tensor) -> Tensor:
    """Scale weights that are not negative to the sum T; all zeros stay zeros.

    Args:
        weights: `[T]`.

    Example:
        >>> from torch import tensor
        >>> sum_to_count(tensor([1.0, 3.0])).tolist(), sum_to_count(tensor([0.0, 0.0])).tolist()
        ([0.5, 1.5], [0.0, 0.0])
    """
    total = weights.sum()
    return weights * (len(weights) / total) if total > 0 else weights
