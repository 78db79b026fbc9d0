"""Static weights: how much each task counts, set by the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from hf_mtl.objectives.checks import not_negative, refuse, unknown_tasks
from hf_mtl.objectives.objective import Scalarizer, SharedGradients
from hf_mtl.objectives.scalarizers.normalising import sum_to_count

__all__ = ["Static"]


@final
class Static(Scalarizer):
    """Fixed weights, scaled to the sum T over the tasks that take part in a round.

    Args:
        weights: Weight by task name; a task that is not named counts 1, and only the ratios matter.

    Raises:
        ConfigError: If a weight is negative.

    Example:
        >>> gradients = SharedGradients(
        ...     ("verbs", "words"), torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), (2,), 0
        ... )
        >>> Static({"verbs": 3.0}).update(gradients).gradient.tolist()
        [1.5, 1.0]
    """

    name = "static"

    def __init__(self, weights: Mapping[str, float]) -> None:
        refuse(not_negative(self.name, "weights", weights, "the task's loss would be raised without bound"))
        self._weights = dict(weights)

    def problems(self, names: Sequence[str]) -> list[str]:
        """The names that no task has."""
        return unknown_tasks(self.name, "weights", self._weights, names)

    def weights(self, gradients: SharedGradients) -> Tensor:
        """The weights of those that take part, `[T]`."""
        own = [self._weights.get(name, 1.0) for name in gradients.names]
        return sum_to_count(torch.tensor(own, dtype=torch.float64))
