"""From the tasks' own gradients of the shared parameters to the one that they are moved by: what an objective says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from hf_mtl.objectives import Objective, SharedGradients
from hf_mtl.relations import CosineMeter
from hf_mtl.training.task_gradients import TaskGradients

__all__ = ["Combining"]


@dataclass
class Combining:
    """Applies an objective to a round.

    Args:
        objective: The objective.
        gradients: The tasks' rows.
        cosines: Collects how well the rows agree; None where nobody wants to know.
    """

    objective: Objective
    gradients: TaskGradients
    cosines: CosineMeter | None = None

    def combine(
        self, good: Collection[str], losses: Mapping[str, float], round_number: int
    ) -> Mapping[str, float]:
        """Leave the shared parameters' gradient of a round.

        Args:
            good: The tasks that take part in it.
            losses: Each task's mean loss.
            round_number: Counted from 0.

        Returns:
            The weight of each task's loss, where the objective has such.
        """
        names = tuple(name for name in self.gradients.names if name in good)
        if not names:
            return {}
        rows = self.gradients.rows
        if len(names) < len(self.gradients.names):
            rows = rows[[self.gradients.names.index(name) for name in names]]
        if self.cosines is not None:
            wide = rows.double()
            self.cosines.add(names, (wide @ wide.t()).cpu())
        own = torch.tensor([losses[name] for name in names], dtype=torch.float64, device=rows.device)
        update = self.objective.update(SharedGradients(names, own, rows, self.gradients.blocks, round_number))
        self.gradients.spread(update.gradient)
        return update.weights
