"""Equal weights: the baseline that every other objective is to be compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch

from hf_mtl.objectives.objective import Objective, SharedGradients, SharedUpdate

__all__ = ["Equal"]


@final
class Equal(Objective):
    """The plain sum of the tasks' gradients.

    Tuned static weights and this sum roughly match special optimizers (Kurin et al. 2022, arXiv:2201.04122; Xin et al.
    2022, arXiv:2209.11379).

    Example:
        >>> gradients = SharedGradients(
        ...     ("verbs", "words"), torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), (2,), 0
        ... )
        >>> Equal().update(gradients).gradient.tolist()
        [1.0, 2.0]
    """

    name = "equal"
    needs_rows = False

    @torch.no_grad()
    def update(self, gradients: SharedGradients) -> SharedUpdate:
        """Sum the rows."""
        return SharedUpdate(gradients.rows.sum(0), dict.fromkeys(gradients.names, 1.0))

    def effect_problem(self, shared: int, names: Sequence[str]) -> str | None:
        """None: it claims no effect."""
        return None
