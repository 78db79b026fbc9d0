r"""A penalty that draws the weight changes of several LoRAs towards each other (soft parameter sharing).

With the change `D_i = s_i B_i A_i` of one layer's weight by adapter i, and a symmetric matrix `C`,

.. math:: P = \frac{1}{2} \sum_{ij} C_{ij} \langle D_i, D_j \rangle

`C = strength (I - 1/T)` gives `strength / 2 sum_i ||D_i - mean D||^2`; `C = strength (diag(R 1) - R)` gives
`strength / 4 sum_ij R_ij ||D_i - D_j||^2`. The changes and not the matrices are compared, as `B A` stays the same when
`B` is multiplied and `A` divided by a number. No change is ever formed: with the adapters' ranks put side by side
(`A [R, I]`, `B [O, R]`) and `K` that holds `s_i s_j C_ij` for each pair of ranks,

.. math:: \nabla_B = B \, (K \circ A A^T), \qquad \nabla_A = (K \circ B^T B) \, A
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hf_mtl.adapters.lora import LoraUpdate

__all__ = ["add_closeness", "closeness", "inner_products"]


def _side_by_side(updates: Sequence[LoraUpdate], coefficients_TT: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All ranks of a layer's updates: `A [R, I]`, `B [O, R]` and `K [R, R]`."""
    a_RI = torch.cat([update.lora_A.detach() for update in updates])
    b_OR = torch.cat([update.lora_B.detach() for update in updates], dim=1)
    scales_T = a_RI.new_tensor([update.scale for update in updates])
    ranks = torch.tensor([len(update.lora_A) for update in updates], device=a_RI.device)
    k_TT = coefficients_TT.to(a_RI) * scales_T[:, None] * scales_T
    return a_RI, b_OR, k_TT.repeat_interleave(ranks, 0).repeat_interleave(ranks, 1)


def add_closeness(updates: Sequence[LoraUpdate], coefficients_TT: Tensor, *, drawn: Sequence[bool]) -> None:
    """Add the penalty's gradient to the `.grad` of one layer's updates.

    Args:
        updates: T updates of the same layer.
        coefficients_TT: `C`, symmetric.
        drawn: Which of them are to be moved; the others must have no gradient.
    """
    a_RI, b_OR, k_RR = _side_by_side(updates, coefficients_TT)
    da_RI = (k_RR * (b_OR.t() @ b_OR)) @ a_RI
    db_OR = b_OR @ (k_RR * (a_RI @ a_RI.t()))
    ranks = [len(update.lora_A) for update in updates]
    for update, moves, da, db in zip(updates, drawn, da_RI.split(ranks), db_OR.split(ranks, 1), strict=True):
        if moves:
            assert update.lora_A.grad is not None
            assert update.lora_B.grad is not None
            update.lora_A.grad += da
            update.lora_B.grad += db


def closeness(updates: Sequence[LoraUpdate], coefficients_TT: Tensor) -> Tensor:
    """The penalty of one layer, a scalar."""
    a_RI, b_OR, k_RR = _side_by_side(updates, coefficients_TT)
    total: Tensor = (k_RR * (b_OR.t() @ b_OR) * (a_RI @ a_RI.t())).sum() / 2
    return total


def inner_products(updates: Sequence[LoraUpdate]) -> Tensor:
    """`<D_i, D_j>` of one layer's updates, float64 `[T, T]`."""
    count = len(updates)
    a_RI, b_OR, k_RR = _side_by_side(updates, torch.ones(count, count))
    products_RR = (k_RR * (b_OR.t() @ b_OR) * (a_RI @ a_RI.t())).double()
    owners_R = torch.arange(count).repeat_interleave(torch.tensor([len(own.lora_A) for own in updates]))
    owned_TR = torch.nn.functional.one_hot(owners_R, count).t().to(products_RR)
    return owned_TR @ products_RR @ owned_TR.t()
