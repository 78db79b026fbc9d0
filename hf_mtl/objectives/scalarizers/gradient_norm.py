"""Weights by the lengths of the gradients: each round multiplies a task's weight by its gradient's length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from hf_mtl.objectives.gramian import norms
from hf_mtl.objectives.objective import Scalarizer, SharedGradients
from hf_mtl.objectives.scalarizers.normalising import sum_to_count

__all__ = ["GradientNorm"]

_SMALLEST_WEIGHT = 1e-3


@final
class GradientNorm(Scalarizer):
    """`w_i <- w_i |g_i| / sum_j |g_j|`, scaled to the sum T, without which all weights decay to 0.

    The round uses the weights that its own gradients gave. As the lengths multiply up over rounds, the task whose
    gradient stays the longest soon has nearly all weight: this is a plain rule to compare with, not one to prefer. A
    weight is held at 0.001 or more, so that a task can come back; where all gradients are zero the weights stay as they
    are.

    Example:
        >>> gradients = SharedGradients(
        ...     ("verbs", "words"), torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 3.0]]), (2,), 0
        ... )
        >>> objective = GradientNorm()
        >>> for _ in range(2):
        ...     print({name: round(weight, 6) for name, weight in objective.update(gradients).weights.items()})
        {'verbs': 0.5, 'words': 1.5}
        {'verbs': 0.2, 'words': 1.8}
    """

    name = "gradient_norm"

    def __init__(self) -> None:
        self._weights: dict[str, float] = {}

    def weights(self, gradients: SharedGradients) -> Tensor:
        """The weights after this round's lengths, `[T]`."""
        before = [self._weights.get(name, 1.0) for name in gradients.names]
        weights = torch.tensor(before, dtype=torch.float64)
        lengths = norms(gradients.rows)
        if lengths.sum() > 0:
            weights = sum_to_count(weights * (lengths / lengths.sum()))
        weights = sum_to_count(weights.clamp(min=_SMALLEST_WEIGHT))
        self._weights.update(zip(gradients.names, weights.tolist(), strict=True))
        return weights

    def _state(self) -> dict[str, Any]:  # Any: plain JSON
        return {"weights": dict(self._weights)}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._weights = dict(state["weights"])
