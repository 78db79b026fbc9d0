"""Random weights: a litmus test that a method of weighting should pass."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from hf_mtl.bounds import SEED
from hf_mtl.objectives.checks import out_of_bounds, refuse
from hf_mtl.objectives.draws import standard_normal
from hf_mtl.objectives.objective import Scalarizer, SharedGradients

__all__ = ["RandomWeights"]


@final
class RandomWeights(Scalarizer):
    """Random loss weighting (Lin et al. 2021, arXiv:2111.10603): `T softmax(z)` with `z` from a normal distribution.

    Each task's number follows from the seed, the round and its name, so the order of the tasks plays no part.

    Args:
        seed: Another seed gives other weights.

    Example:
        >>> gradients = SharedGradients(
        ...     ("verbs", "words"), torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), (2,), 0
        ... )
        >>> round(sum(RandomWeights(seed=1).update(gradients).weights.values()), 12)
        2.0
    """

    name = "random"

    def __init__(self, *, seed: int = 0) -> None:
        refuse(out_of_bounds(self.name, {"seed": SEED}, {"seed": seed}))
        self._seed = seed

    def weights(self, gradients: SharedGradients) -> Tensor:
        """The weights of this round, `[T]`."""
        normals = [standard_normal(self._seed, gradients.round, name) for name in gradients.names]
        return len(normals) * torch.softmax(torch.tensor(normals, dtype=torch.float64), dim=0)
