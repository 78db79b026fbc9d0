"""A head of a task's own: from the base's hidden states at a task's places to its logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

__all__ = ["Head"]


class Head(nn.Module):
    """The modules of a stock head, one after the other, in full precision or as autocast has it.

    Its own dropout is left out, as that of the base is while adapters are trained.

    Args:
        modules: By the names that they have in the stock class, in the order of its forward pass.
        mean: Whether the states of each sequence are averaged first.
        pooler: A frozen part of the base that stands before the head (BERT's), which takes `[R, 1, D]`.
        rows: Whether the first module takes whole rows `[R, S, D]` and picks the first token (RoBERTa's).
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        *,
        mean: bool = False,
        pooler: nn.Module | None = None,
        rows: bool = False,
    ) -> None:
        super().__init__()
        self.stock = nn.ModuleDict(modules)
        self.mean = mean
        self.rows = rows
        self._pooler = [] if pooler is None else [pooler]  # in a list, so that it stays the base's module

    def file_parameters(self) -> dict[str, nn.Parameter]:
        """Its parameters, by their names in the stock class."""
        return dict(self.stock.named_parameters())

    def forward(self, states_ND: Tensor, counts: Sequence[int]) -> Tensor:
        """Logits at the places, `[N, C]`, or of the sequences, `[R, C]`, where their states are averaged.

        Args:
            states_ND: The hidden states at the places of `R` sequences, one sequence after the other.
            counts: Each sequence's number of places.
        """
        if self.mean:
            states_ND = torch.stack([part.mean(0) for part in states_ND.split(list(counts))])
        for pooler in self._pooler:
            states_ND = pooler(_for(pooler, states_ND).unsqueeze(1))
        logits = _for(self.stock, states_ND)
        if self.rows:
            logits = logits.unsqueeze(1)
        for module in self.stock.values():
            logits = module(logits)
        return logits


def _for(module: nn.Module, states: Tensor) -> Tensor:
    """States in the dtype of a module's parameters; autocast, where it is on, casts as in the stock class."""
    cast = torch.is_autocast_enabled(states.device.type)
    return states if cast else states.to(next(module.parameters()).dtype)
