"""What turns the tasks' losses and gradients into the update of the parameters that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from hf_mtl.errors import CheckpointError
from hf_mtl.objectives.gramian import weighted_sum

__all__ = ["Aggregator", "Objective", "Scalarizer", "SharedGradients", "SharedUpdate"]


@dataclass(frozen=True)
class SharedGradients:
    """One round as an objective sees it: T tasks, P shared parameters.

    Args:
        names: The tasks taking part, in the suite's order; they may differ from round to round.
        losses: Each task's mean loss of the round, `[T]`, float64, without a gradient.
        rows: Each task's gradient of the shared parameters, that of its own mean loss, `[T, P]`. It may be overwritten
            after the call, so an objective keeps no reference.
        blocks: Sizes of the matrices that the P parameters consist of, in order.
        round: Number of the round, from 0.
    """

    names: tuple[str, ...]
    losses: Tensor
    rows: Tensor
    blocks: tuple[int, ...]
    round: int


@dataclass(frozen=True)
class SharedUpdate:
    """What the optimizer of the shared parameters takes as their gradient.

    Args:
        gradient: `[P]`.
        weights: The weight of each task's loss for log and report, where the objective has such.
    """

    gradient: Tensor
    weights: Mapping[str, float] = field(default_factory=dict)


class Objective(ABC):
    """Combines the gradients of one round into one.

    The scale is that of a sum: equal weights are ones, and their update is the plain sum of the tasks' gradients.

    Attributes:
        name: What recipes call it.
        needs_rows: Whether it needs each task's gradient by itself; without, the trainer may let autograd sum them.
    """

    name: str
    needs_rows: bool = True

    @abstractmethod
    def update(self, gradients: SharedGradients) -> SharedUpdate:
        """Combine one round; the state goes on by one round.

        Args:
            gradients: The round. Its numbers are finite: a task whose are not does not take part.
        """

    def problems(self, names: Sequence[str]) -> list[str]:
        """What does not fit a suite of tasks with these names."""
        return []

    def effect_problem(self, shared: int, names: Sequence[str]) -> str | None:
        """Why this objective would change nothing, or None where it has an effect.

        Args:
            shared: How many parameters several tasks share.
            names: The tasks of the suite.
        """
        if shared == 0:
            return (
                f"the objective {self.name!r} acts on parameters that several tasks share, and this suite has none: "
                "a private adapter has the gradient of one task only, and AdamW divides a constant weight of its loss "
                "out again. Let tasks share an adapter, or leave the objective out."
            )
        if len(names) < 2:
            return (
                f"the objective {self.name!r} weighs tasks against each other, and this suite has one, "
                f"{', '.join(map(repr, names))}. Leave the objective out."
            )
        return None

    def resume_problem(self) -> str | None:
        """Why a run with this objective cannot be resumed exactly, or None where it can."""
        return None

    @final
    def state_dict(self) -> dict[str, Any]:  # Any: plain JSON
        """Everything that the next rounds depend on, as plain data whose JSON is exact."""
        return {"objective": self.name, "state": self._state()}

    @final
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            CheckpointError: If another objective saved it, or this one cannot be resumed.
        """
        if state["objective"] != self.name:
            raise CheckpointError(
                f"the checkpoint was made with the objective {state['objective']!r}, this run has {self.name!r}. "
                "Set the same objective, or start a new run."
            )
        if problem := self.resume_problem():
            raise CheckpointError(problem)
        self._load_state(state["state"])

    def _state(self) -> dict[str, Any]:  # Any: plain JSON
        """What a subclass remembers; nothing here."""
        return {}

    def _load_state(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - an objective may remember nothing
        """Take over what `_state` gave."""


class Scalarizer(Objective):
    """An objective that weighs the losses: the update is `weights @ rows`."""

    @abstractmethod
    def weights(self, gradients: SharedGradients) -> Tensor:
        """The weight of each task's loss in this round, `[T]`, float64, from losses that are on the CPU."""

    @final
    @torch.no_grad()
    def update(self, gradients: SharedGradients) -> SharedUpdate:
        """Sum the rows with their weights."""
        weights = self.weights(replace(gradients, losses=gradients.losses.cpu()))
        by_name = dict(zip(gradients.names, weights.tolist(), strict=True))
        return SharedUpdate(weighted_sum(weights, gradients.rows), by_name)


class Aggregator(Objective):
    """An objective that changes the gradients themselves."""

    @abstractmethod
    def aggregate(self, gradients: SharedGradients) -> Tensor:
        """The one gradient that stands for all, `[P]`."""

    @final
    @torch.no_grad()
    def update(self, gradients: SharedGradients) -> SharedUpdate:
        """Aggregate the rows; a task alone keeps its own gradient."""
        if len(gradients.names) == 1:
            return SharedUpdate(gradients.rows[0].clone())
        return SharedUpdate(self.aggregate(gradients))
