"""Uncertainty weighting: a learned variance for each task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from hf_mtl.bounds import POSITIVE
from hf_mtl.objectives.adam import Adam
from hf_mtl.objectives.checks import out_of_bounds, refuse
from hf_mtl.objectives.objective import Scalarizer, SharedGradients

__all__ = ["Uncertainty"]


@final
class Uncertainty(Scalarizer):
    """Uncertainty weighting (Kendall et al. 2018, arXiv:1705.07115).

    The loss is `sum_i exp(-s_i) (L_i + epsilon) + s_i` with a learned log-variance `s_i` per task, twice the paper's
    form for regression, so that the weights `exp(-s_i)` are ones at the start. They keep this natural scale: at the
    optimum `exp(-s_i) = 1 / (L_i + epsilon)`, which is finite for a loss of 0. The log-variances take steps of Adam of
    their own, after the weights of the round are read.

    Args:
        learning_rate: Adam's step of the log-variances.
        epsilon: Added to each loss; the largest weight is about its inverse.

    Raises:
        ConfigError: If one of them is not above 0.

    Example:
        >>> gradients = SharedGradients(
        ...     ("verbs", "words"), torch.tensor([4.0, 0.1]).double(), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), (2,), 0
        ... )
        >>> objective = Uncertainty(learning_rate=0.1)
        >>> for _ in range(2):
        ...     print({name: round(weight, 6) for name, weight in objective.update(gradients).weights.items()})
        {'verbs': 1.0, 'words': 1.0}
        {'verbs': 0.904837, 'words': 1.105171}
    """

    name = "uncertainty"

    def __init__(self, *, learning_rate: float = 0.025, epsilon: float = 0.01) -> None:
        bounds = {"learning_rate": POSITIVE, "epsilon": POSITIVE}
        refuse(out_of_bounds(self.name, bounds, {"learning_rate": learning_rate, "epsilon": epsilon}))
        self._epsilon = epsilon
        self._log_variances = Adam(learning_rate, start=0.0)

    def weights(self, gradients: SharedGradients) -> Tensor:
        """`exp(-s)` of this round, `[T]`."""
        weights = [math.exp(-self._log_variances[name].value) for name in gradients.names]
        losses = gradients.losses.clamp(min=0).tolist()
        self._log_variances.step(
            {
                name: 1 - weight * (loss + self._epsilon)
                for name, weight, loss in zip(gradients.names, weights, losses, strict=True)
            }
        )
        return torch.tensor(weights, dtype=torch.float64)

    def _state(self) -> dict[str, Any]:  # Any: plain JSON
        return {"log_variances": self._log_variances.state()}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._log_variances.load(state["log_variances"])
