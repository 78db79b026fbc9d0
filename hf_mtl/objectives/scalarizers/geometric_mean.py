"""Geometric mean of the losses: a falling loss counts by its ratio, not by its size."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from hf_mtl.bounds import POSITIVE
from hf_mtl.objectives.checks import out_of_bounds, refuse
from hf_mtl.objectives.objective import Scalarizer, SharedGradients

__all__ = ["GeometricMean"]


@final
class GeometricMean(Scalarizer):
    """Geometric loss strategy (Chennupati et al. 2019, arXiv:1904.08492): the loss is `(prod_i L_i)^(1/T)`.

    Its gradient weighs task i by `GLS / (T L_i)`. The weights here are T times that, `GLS / L_i`, so that equal losses
    have weights of 1; they are not scaled to the sum T, which would no longer be the gradient of any mean.

    Args:
        epsilon: The smallest loss that is distinguished from 0; it bounds the weights.

    Raises:
        ConfigError: If it is not above 0.

    Example:
        >>> gradients = SharedGradients(
        ...     ("verbs", "words"), torch.tensor([4.0, 1.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), (2,), 0
        ... )
        >>> {name: round(weight, 12) for name, weight in GeometricMean().update(gradients).weights.items()}
        {'verbs': 0.5, 'words': 2.0}
    """

    name = "geometric_mean"

    def __init__(self, *, epsilon: float = 1e-4) -> None:
        refuse(out_of_bounds(self.name, {"epsilon": POSITIVE}, {"epsilon": epsilon}))
        self._epsilon = epsilon

    def weights(self, gradients: SharedGradients) -> Tensor:
        """`GLS / L`, `[T]`."""
        logs = torch.log(gradients.losses.clamp(min=self._epsilon))
        return torch.exp(logs.mean() - logs)
