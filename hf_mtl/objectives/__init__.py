"""Objectives: the losses and gradients of several tasks in, one update of the parameters that they share out.

Private parameters need none: their update is their own task's. `OBJECTIVES` are ours; the extra `grad` brings those of
TorchJD by the same door.

    >>> import torch
    >>> gradients = SharedGradients(
    ...     names=("verbs", "words"),
    ...     losses=torch.tensor([0.7, 1.9], dtype=torch.float64),
    ...     rows=torch.tensor([[2.0, 0.0], [-1.0, 1.0]]),
    ...     blocks=(2,),
    ...     round=0,
    ... )
    >>> objective_of("equal").update(gradients).gradient.tolist()
    [1.0, 1.0]
    >>> objective_of("pcgrad").update(gradients).gradient.tolist()
    [1.0, 2.0]
    >>> update = objective_of({"name": "static", "weights": {"verbs": 3.0}}).update(gradients)
    >>> update.gradient.tolist(), update.weights
    ([2.5, 0.5], {'verbs': 1.5, 'words': 0.5})
"""

from __future__ import annotations

from hf_mtl.objectives.objective import Aggregator, Objective, Scalarizer, SharedGradients, SharedUpdate
from hf_mtl.objectives.registry import OBJECTIVES, ObjectiveLike, objective_names, objective_of

__all__ = [
    "OBJECTIVES",
    "Aggregator",
    "Objective",
    "ObjectiveLike",
    "Scalarizer",
    "SharedGradients",
    "SharedUpdate",
    "objective_names",
    "objective_of",
]
