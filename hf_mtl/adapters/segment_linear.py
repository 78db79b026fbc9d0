r"""A frozen linear layer and the low-rank updates of many adapters, in one autograd function.

For a stream `x` of `T` tokens and terms `i`, each owning the tokens `start_i:stop_i`,

.. math:: y = x W^T + b, \qquad y_{[i]} \mathrel{+}= s_i \, (m_i \circ x_{[i]}) A_i^T B_i^T

with `A_i [r_i, D_in]`, `B_i [D_out, r_i]` (LoRA, Hu et al. 2021, https://arxiv.org/abs/2106.09685),
scale `s_i` and an optional dropout multiplier `m_i`. Working on slices needs no gather, no padding to a
common rank and no masked products; the frozen weight gets no gradient; and the input gradient `g W + s_i
(g_[i] B_i) A_i` is accumulated in place instead of being summed by autograd.

Shapes: `T` tokens, `D_in`/`D_out` features, `r` rank; suffixes in names (`x_TI`, `h_LR`) say which (`L`
tokens of a term, `I` = `D_in`, `O` = `D_out`, `R` = `r`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Term", "segment_delta", "segment_linear"]


class Term(NamedTuple):
    """One adapter's low-rank update of the tokens `start:stop`."""

    start: int
    stop: int
    scale: float
    a_RI: Tensor
    b_OR: Tensor
    multiplier_LI: Tensor | None = None  # dropout: 0 or 1 / (1 - p)


class _Slices(NamedTuple):
    """The part of the terms that is not differentiable, as it is kept for the backward pass."""

    bounds: tuple[tuple[int, int, float], ...]
    multipliers: tuple[Tensor | None, ...]

    def input(self, i: int, x_TI: Tensor) -> Tensor:
        start, stop, _ = self.bounds[i]
        x_LI = x_TI[start:stop]
        multiplier_LI = self.multipliers[i]
        return x_LI if multiplier_LI is None else x_LI * multiplier_LI


def _add_updates(
    y_TO: Tensor, x_TI: Tensor, slices: _Slices, a: Sequence[Tensor], b: Sequence[Tensor]
) -> list[Tensor]:
    """Add every term's update to `y_TO` in place and return the rank-space activations `[L, R]`, one per term."""
    hidden = []
    for i, (start, stop, scale) in enumerate(slices.bounds):
        h_LR = slices.input(i, x_TI) @ a[i].t()
        y_TO[start:stop].addmm_(h_LR, b[i].t(), alpha=scale)
        hidden.append(h_LR)
    return hidden


def _term_gradients(
    g_TO: Tensor, x_TI: Tensor, dx_TI: Tensor | None, slices: _Slices, saved: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the gradients of all `A` and `B`, and add the terms' part of the input gradient to `dx_TI` in place."""
    count = len(slices.bounds)
    a, b, hidden = saved[:count], saved[count : 2 * count], saved[2 * count :]
    grad_a, grad_b = [], []
    for i, (start, stop, scale) in enumerate(slices.bounds):
        g_LO = g_TO[start:stop]
        dh_LR = (g_LO @ b[i]).mul_(scale)
        grad_a.append(dh_LR.t() @ slices.input(i, x_TI))
        grad_b.append((g_LO.t() @ hidden[i]).mul_(scale))
        if dx_TI is None:
            continue
        multiplier_LI = slices.multipliers[i]
        if multiplier_LI is None:
            dx_TI[start:stop].addmm_(dh_LR, a[i])
        else:
            dx_TI[start:stop].addcmul_(dh_LR @ a[i], multiplier_LI)
    return grad_a, grad_b


class _SegmentLinear(torch.autograd.Function):
    """`segment_linear` for a weight of full precision: base product and updates share one buffer."""

    @staticmethod
    def forward(
        ctx: Any,  # Any: autograd's context takes arbitrary attributes
        x_TI: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        slices: _Slices,
        *ab: Tensor,
    ) -> Tensor:
        count = len(slices.bounds)
        y_TO = torch.nn.functional.linear(x_TI, weight_OI, bias_O)
        hidden = _add_updates(y_TO, x_TI, slices, ab[:count], ab[count:])
        ctx.slices = slices
        ctx.save_for_backward(x_TI, weight_OI, *ab, *hidden)
        return y_TO

    @staticmethod
    def backward(ctx: Any, g_TO: Tensor) -> tuple[Tensor | None, ...]:
        x_TI, weight_OI, *saved = ctx.saved_tensors
        g_TO = g_TO.contiguous()
        dx_TI = g_TO @ weight_OI if ctx.needs_input_grad[0] else None
        grad_a, grad_b = _term_gradients(g_TO, x_TI, dx_TI, ctx.slices, saved)
        return (dx_TI, None, None, None, *grad_a, *grad_b)


class _SegmentDelta(torch.autograd.Function):
    """The updates alone, added in place to the output of a base layer of any kind (quantised, convolution, ...)."""

    @staticmethod
    def forward(
        ctx: Any,  # Any: autograd's context takes arbitrary attributes
        y_TO: Tensor,
        x_TI: Tensor,
        slices: _Slices,
        *ab: Tensor,
    ) -> Tensor:
        count = len(slices.bounds)
        hidden = _add_updates(y_TO, x_TI, slices, ab[:count], ab[count:])
        ctx.mark_dirty(y_TO)
        ctx.slices = slices
        ctx.save_for_backward(x_TI, *ab, *hidden)
        return y_TO

    @staticmethod
    def backward(ctx: Any, g_TO: Tensor) -> tuple[Tensor | None, ...]:
        x_TI, *saved = ctx.saved_tensors
        g_TO = g_TO.contiguous()
        dx_TI = torch.zeros_like(x_TI) if ctx.needs_input_grad[1] else None
        grad_a, grad_b = _term_gradients(g_TO, x_TI, dx_TI, ctx.slices, saved)
        return (g_TO, dx_TI, None, *grad_a, *grad_b)


def _split(terms: Sequence[Term]) -> tuple[_Slices, list[Tensor]]:
    slices = _Slices(
        bounds=tuple((term.start, term.stop, term.scale) for term in terms),
        multipliers=tuple(term.multiplier_LI for term in terms),
    )
    return slices, [term.a_RI for term in terms] + [term.b_OR for term in terms]


def segment_linear(x_TI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, terms: Sequence[Term]) -> Tensor:
    """Apply a frozen linear layer and all terms' updates.

    Args:
        x_TI: Input `[T, D_in]`, contiguous.
        weight_OI: Frozen weight `[D_out, D_in]` of the input's dtype; it receives no gradient.
        bias_O: Frozen bias `[D_out]` or None.
        terms: The updates; their matrices have the input's dtype. Ranges may overlap or be empty.

    Returns:
        Output `[T, D_out]`.
    """
    slices, ab = _split(terms)
    result: Tensor = _SegmentLinear.apply(x_TI, weight_OI, bias_O, slices, *ab)  # type: ignore[no-untyped-call]
    return result


def segment_delta(y_TO: Tensor, x_TI: Tensor, terms: Sequence[Term]) -> Tensor:
    """Add all terms' updates to the output of a base layer.

    Args:
        y_TO: The base layer's output `[T, D_out]`; changed in place.
        x_TI: The base layer's input `[T, D_in]`, contiguous, of the output's dtype.
        terms: The updates, as in `segment_linear`.

    Returns:
        `y_TO`, now carrying the updates' gradients.
    """
    slices, ab = _split(terms)
    result: Tensor = _SegmentDelta.apply(y_TO, x_TI, slices, *ab)  # type: ignore[no-untyped-call]
    return result
