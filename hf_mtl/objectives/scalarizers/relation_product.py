"""A loss of products: a task counts by the losses of the tasks that it is related to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from hf_mtl.bounds import ANY_NUMBER
from hf_mtl.objectives.checks import not_negative, refuse, unknown_tasks
from hf_mtl.objectives.objective import Scalarizer, SharedGradients

__all__ = ["RelationProduct"]


@final
class RelationProduct(Scalarizer):
    """The relation-weighted product loss `sum_ij R_ij l_i l_j L_i L_j`.

    Task i has the weight that its derivative says, `l_i sum_j (R_ij + R_ji) l_j L_j`, on its natural scale: it falls as
    the losses fall. A relation below 0 counts as 0, and a weight below 0 is refused: the loss would be unbounded below.

    Args:
        relations: R by two task names; a pair that is left out has 0. None relates all pairs, also a task to itself,
            by 1: the square of the weighted sum.
        weights: l by task name; a task that is not named has 1.

    Raises:
        ConfigError: If a weight is negative.

    Example:
        >>> gradients = SharedGradients(
        ...     ("verbs", "words"), torch.tensor([1.0, 2.0]).double(), torch.tensor([[1.0, 0.0], [0.0, 2.0]]), (2,), 0
        ... )
        >>> RelationProduct({"verbs": {"words": 1.0}}).update(gradients).weights
        {'verbs': 2.0, 'words': 1.0}
    """

    name = "relation_product"

    def __init__(
        self,
        relations: Mapping[str, Mapping[str, float]] | None = None,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        refuse(
            [
                *not_negative(self.name, "weights", weights or {}, "the loss would be unbounded below"),
                *(
                    f"the objective {self.name!r}: relations of {one!r} to {other!r}: {problem}"
                    for one, row in (relations or {}).items()
                    for other, number in row.items()
                    if (problem := ANY_NUMBER.problem(number)) is not None
                ),
            ]
        )
        self._relations = None if relations is None else {name: dict(row) for name, row in relations.items()}
        self._weights = dict(weights or {})

    def problems(self, names: Sequence[str]) -> list[str]:
        """The names that no task has."""
        rows = (self._relations or {}).items()
        related = [name for one, row in rows for name in (one, *row)]
        return unknown_tasks(self.name, "relations", related, names) + unknown_tasks(
            self.name, "weights", self._weights, names
        )

    def weights(self, gradients: SharedGradients) -> Tensor:
        """The derivative of the loss by each task's loss, `[T]`."""
        names = gradients.names
        own = torch.tensor([self._weights.get(name, 1.0) for name in names], dtype=torch.float64)
        relations = torch.tensor(
            [[self._relation(one, other) for other in names] for one in names], dtype=torch.float64
        )
        losses = gradients.losses.clamp(min=0)
        return own * ((relations + relations.T) @ (own * losses))

    def _relation(self, one: str, other: str) -> float:
        return 1.0 if self._relations is None else max(0.0, self._relations.get(one, {}).get(other, 0.0))
