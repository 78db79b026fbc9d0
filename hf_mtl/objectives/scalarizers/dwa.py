"""Dynamic weight average: tasks whose loss falls slowly count more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from hf_mtl.bounds import COUNT, POSITIVE
from hf_mtl.objectives.checks import out_of_bounds, refuse
from hf_mtl.objectives.objective import Scalarizer, SharedGradients

__all__ = ["DynamicWeightAverage"]

_SMALLEST = 1e-8


@dataclass
class _History:
    """The losses of a task's current window, and the means of its last two whole windows."""

    total: float = 0.0
    count: int = 0
    means: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        if len(self.means) < 2:
            return 1.0
        older, newer = self.means
        return (newer + _SMALLEST) / (older + _SMALLEST)

    def add(self, loss: float, window: int) -> None:
        self.total += loss
        self.count += 1
        if self.count == window:
            self.means = [*self.means, self.total / window][-2:]
            self.total, self.count = 0.0, 0


@final
class DynamicWeightAverage(Scalarizer):
    """DWA (Liu et al. 2019, arXiv:1803.10704): `T softmax(rate / temperature)`.

    A task's rate is the mean loss of its last window of rounds over that of the window before; the paper's window is an
    epoch. Until a task has two windows its rate is 1.

    Args:
        temperature: Larger makes the weights more alike; the paper's is 2.
        window: Rounds of the task whose losses are averaged.

    Raises:
        ConfigError: If one of them is not above 0.

    Example:
        >>> rows, objective = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), DynamicWeightAverage(window=1)
        >>> for number, losses in enumerate([[1.0, 1.0], [1.0, 0.5], [1.0, 0.5]]):
        ...     gradients = SharedGradients(("verbs", "words"), torch.tensor(losses).double(), rows, (2,), number)
        ...     update = objective.update(gradients)
        >>> {name: round(weight, 6) for name, weight in update.weights.items()}
        {'verbs': 1.124353, 'words': 0.875647}
    """

    name = "dwa"

    def __init__(self, *, temperature: float = 2.0, window: int = 100) -> None:
        bounds = {"temperature": POSITIVE, "window": COUNT}
        refuse(out_of_bounds(self.name, bounds, {"temperature": temperature, "window": window}))
        self._temperature, self._window = temperature, window
        self._histories: dict[str, _History] = {}

    def weights(self, gradients: SharedGradients) -> Tensor:
        """The weights by what was before this round, `[T]`."""
        histories = [self._histories.setdefault(name, _History()) for name in gradients.names]
        rates = torch.tensor([history.rate for history in histories], dtype=torch.float64)
        for history, loss in zip(histories, gradients.losses.clamp(min=0).tolist(), strict=True):
            history.add(loss, self._window)
        return len(rates) * torch.softmax(rates / self._temperature, dim=0)

    def _state(self) -> dict[str, Any]:  # Any: plain JSON
        return {name: asdict(history) for name, history in self._histories.items()}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self._histories = {
            name: _History(own["total"], own["count"], list(own["means"])) for name, own in state.items()
        }
