"""Adam on a few learned numbers, one per task, whose whole state is plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

__all__ = ["Adam", "Learned"]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


@dataclass
class Learned:
    """One learned number, the running means of its gradient and squared gradient, and its steps."""

    value: float
    mean: float = 0.0
    square: float = 0.0
    steps: int = 0

    def step(self, gradient: float, learning_rate: float) -> None:
        """One step down the gradient."""
        self.steps += 1
        self.mean += (1 - _BETA1) * (gradient - self.mean)
        self.square += (1 - _BETA2) * (gradient * gradient - self.square)
        mean = self.mean / (1 - _BETA1**self.steps)
        square = self.square / (1 - _BETA2**self.steps)
        self.value -= learning_rate * mean / (math.sqrt(square) + _EPSILON)


@dataclass
class Adam:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980) with its usual decays 0.9 and 0.999.

    Each number counts its own steps, so a task that is absent for a while goes on where it was.

    Args:
        learning_rate: The length of a step.
        start: The value of a number that is asked for the first time.
        numbers: Those that are there, by name.

    Example:
        >>> adam = Adam(learning_rate=0.1, start=1.0)
        >>> adam["verbs"].step(gradient=5.0, learning_rate=adam.learning_rate)
        >>> round(adam["verbs"].value, 6), adam["words"].value
        (0.9, 1.0)
    """

    learning_rate: float
    start: float
    numbers: dict[str, Learned] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Learned:
        return self.numbers.setdefault(name, Learned(self.start))

    def step(self, gradients: Mapping[str, float]) -> None:
        """One step of each of these numbers."""
        for name, gradient in gradients.items():
            self[name].step(gradient, self.learning_rate)

    def state(self) -> dict[str, dict[str, float]]:
        """All numbers, as plain data."""
        return {name: asdict(number) for name, number in self.numbers.items()}

    def load(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Go on from what `state` gave."""
        self.numbers = {
            name: Learned(own["value"], own["mean"], own["square"], int(own["steps"]))
            for name, own in state.items()
        }
