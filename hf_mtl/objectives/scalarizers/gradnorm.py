"""GradNorm: weights that bring the tasks' gradients to comparable lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from hf_mtl.bounds import NOT_NEGATIVE, POSITIVE
from hf_mtl.objectives.adam import Adam
from hf_mtl.objectives.checks import out_of_bounds, refuse
from hf_mtl.objectives.gramian import norms
from hf_mtl.objectives.objective import Scalarizer, SharedGradients
from hf_mtl.objectives.scalarizers.normalising import sum_to_count

__all__ = ["GradNorm"]

_SMALLEST_LOSS, _SMALLEST_WEIGHT = 1e-8, 1e-3


@final
class GradNorm(Scalarizer):
    """GradNorm (Chen et al. 2018, arXiv:1711.02257).

    The weights w minimise `sum_i | w_i |g_i| - mean_j(w_j |g_j|) r_i^alpha |`, whose second term is taken as a
    constant; `r_i` is the ratio of the task's loss to the first that was seen of it, over the mean ratio. They take a
    step of Adam after a round and are then scaled to the sum T. The gradients are those of all shared parameters; the
    paper takes its last shared layer's. A weight is held at 0.001 or more, as a negative one would raise its loss.

    Args:
        alpha: How strongly a task that learns slowly is pulled along; the paper's is 1.5 where tasks are unlike.
        learning_rate: Adam's step of the weights.

    Raises:
        ConfigError: If alpha is negative or the rate not above 0.

    Example:
        >>> gradients = SharedGradients(
        ...     ("verbs", "words"), torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), (2,), 0
        ... )
        >>> objective = GradNorm(learning_rate=0.1)
        >>> for _ in range(2):
        ...     print({name: round(weight, 6) for name, weight in objective.update(gradients).weights.items()})
        {'verbs': 1.0, 'words': 1.0}
        {'verbs': 1.1, 'words': 0.9}
    """

    name = "gradnorm"

    def __init__(self, *, alpha: float = 1.5, learning_rate: float = 0.025) -> None:
        # With an alpha below 0 slow tasks would be left behind.
        bounds = {"alpha": NOT_NEGATIVE, "learning_rate": POSITIVE}
        refuse(out_of_bounds(self.name, bounds, {"alpha": alpha, "learning_rate": learning_rate}))
        self._alpha = alpha
        self._learned = Adam(learning_rate, start=1.0)
        self._first: dict[str, float] = {}

    def weights(self, gradients: SharedGradients) -> Tensor:
        """The weights before this round's step, `[T]`."""
        names = gradients.names
        weights = sum_to_count(
            torch.tensor([self._learned[name].value for name in names], dtype=torch.float64)
        )
        lengths = norms(gradients.rows)
        weighted = weights * lengths
        target = weighted.mean() * self._relative_rates(gradients) ** self._alpha
        slopes = lengths * torch.sign(weighted - target)
        self._learned.step(dict(zip(names, slopes.tolist(), strict=True)))
        after = torch.tensor([self._learned[name].value for name in names], dtype=torch.float64)
        for name, value in zip(names, sum_to_count(after.clamp(min=_SMALLEST_WEIGHT)).tolist(), strict=True):
            self._learned[name].value = value
        return weights

    def _relative_rates(self, gradients: SharedGradients) -> Tensor:
        losses = gradients.losses.clamp(min=_SMALLEST_LOSS)
        for name, loss in zip(gradients.names, losses.tolist(), strict=True):
            self._first.setdefault(name, loss)
        ratios = losses / losses.new_tensor([self._first[name] for name in gradients.names])
        return ratios / ratios.mean()

    def _state(self) -> dict[str, Any]:  # Any: plain JSON
        return {"learned": self._learned.state(), "first": dict(self._first)}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._learned.load(state["learned"])
        self._first = dict(state["first"])
