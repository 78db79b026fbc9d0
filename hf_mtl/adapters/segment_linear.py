r"""A frozen linear layer and the low-rank updates of many adapters, in one autograd function.

For a stream `x` of `T` tokens and terms `i`, each owning the tokens `start_i:stop_i`,

.. math:: y = x W^T + b, \qquad y_{[i]} \mathrel{+}= s_i \, (m_i \circ x_{[i]}) A_i^T B_i^T

with `A_i [r_i, D_in]`, `B_i [D_out, r_i]` (LoRA, Hu et al. 2021, https://arxiv.org/abs/2106.09685),
scale `s_i` (a number, or a number times a learned scalar) and an optional dropout mask `m_i`. Working on
slices needs no gather, no padding to a common rank and no masked products; the frozen weight gets no gradient;
and the input gradient `g W + s_i (g_[i] B_i) A_i` is accumulated in place instead of being summed by autograd.

`A_i` and `B_i` may be wider than `x` (fp32 master weights beside bf16 activations): they are cast to the dtype
that `forms` picks for the span, and their gradients have their own dtype. A quantised `W` is handed over as
something that makes it (`WeightSource`): it is de-quantised once in the forward pass and once in the backward
pass, for all terms together, and not kept in between.

Shapes: `T` tokens, `D_in`/`D_out` features, `r` rank; suffixes in names (`x_TI`, `h_LR`) say which (`L`
tokens of a term, `I` = `D_in`, `O` = `D_out`, `R` = `r`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hf_mtl.adapters.forms import multiplies_in_fp32, narrow_first

__all__ = ["Term", "WeightSource", "segment_delta", "segment_linear"]

WeightSource = Callable[[], Tensor]
"""Makes the frozen weight `[D_out, D_in]`, of the input's dtype."""


class Term(NamedTuple):
    """One adapter's low-rank update of the tokens `start:stop`."""

    start: int
    stop: int
    scale: float
    a_RI: Tensor
    b_OR: Tensor
    mask_LI: Tensor | None = None  # dropout: 0 or 1; what is kept is scaled up by `scale`
    factor: Tensor | None = None  # a learned scalar that multiplies the scale


class _Slices(NamedTuple):
    """The part of the terms that is not differentiable, as it is kept for the backward pass."""

    bounds: tuple[tuple[int, int, float], ...]
    masks: tuple[Tensor | None, ...]
    dtypes: tuple[torch.dtype, ...]  # of each term's products

    def __len__(self) -> int:
        return len(self.bounds)


_Weights = Sequence[Tensor | None]  # all `A`, all `B`, all factors; only a factor may be None


def _no_autocast(x: Tensor) -> AbstractContextManager[object]:
    """What keeps autocast out: the dtypes here are already those to compute in."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def _input(x_TI: Tensor, start: int, stop: int, mask_LI: Tensor | None, dtype: torch.dtype) -> Tensor:
    """A term's input `[L, I]`, dropout applied."""
    x_LI = x_TI[start:stop]
    return (x_LI if mask_LI is None else x_LI * mask_LI).to(dtype)


def _add_product(total_LO: Tensor, left_LR: Tensor, right_RO: Tensor, scale: float) -> None:
    """Add `scale * left right` to `total_LO` in place; the sum is rounded once, from the dtype of the factors."""
    if total_LO.dtype == left_LR.dtype:
        total_LO.addmm_(left_LR, right_RO, alpha=scale)
    else:
        total_LO.copy_(total_LO.to(left_LR.dtype).addmm_(left_LR, right_RO, alpha=scale))


def _product_by_tokens(left_LM: Tensor, right_LR: Tensor) -> Tensor:
    """`left^T right`, `[M, R]`, a sum over tokens, computed with the narrow matrix first where that is faster."""
    if narrow_first(left_LM.dtype, left_LM.device.type, len(left_LM)):
        return (right_LR.t() @ left_LM).t()
    return left_LM.t() @ right_LR


def _scaled(h_LR: Tensor, factor: Tensor | None) -> Tensor:
    """Rank-space activations times the learned scalar, where there is one."""
    # As a matrix, so that it is not rounded to half precision before it multiplies.
    return h_LR if factor is None else (h_LR * factor.view(1, 1)).to(h_LR.dtype)


def _add_updates(y_TO: Tensor, x_TI: Tensor, slices: _Slices, weights: _Weights) -> list[Tensor]:
    """Add every term's update to `y_TO` in place and return the rank-space activations `[L, R]`, one per term."""
    hidden = []
    count = len(slices)
    a, b, factors = weights[:count], weights[count : 2 * count], weights[2 * count :]
    for (start, stop, scale), mask_LI, dtype, a_RI, b_OR, factor in zip(*slices, a, b, factors, strict=True):
        assert a_RI is not None
        assert b_OR is not None
        h_LR = _input(x_TI, start, stop, mask_LI, dtype) @ a_RI.to(dtype).t()
        _add_product(y_TO[start:stop], _scaled(h_LR, factor), b_OR.to(dtype).t(), scale)
        hidden.append(h_LR)
    return hidden


def _term_gradients(
    g_TO: Tensor,
    x_TI: Tensor,
    dx_TI: Tensor | None,
    slices: _Slices,
    saved: Sequence[Tensor],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of all `A`, `B` and factors, and add the terms' part of the input's to `dx_TI` in place.

    Args:
        g_TO: The output's gradient.
        x_TI: The input.
        dx_TI: The input's gradient so far, or None if it needs none.
        slices: The terms.
        saved: All `A`, all `B`, all factors, all rank-space activations.
        needed: Whether each `A`, `B` and factor needs a gradient; for the others none is computed.
    """
    count = len(slices)
    gradients: list[Tensor | None] = [None] * (3 * count)
    a, b, factors, hidden = (saved[i * count : (i + 1) * count] for i in range(4))
    for i, ((start, stop, scale), mask_LI, dtype, a_RI, b_OR, factor, h_LR) in enumerate(
        zip(*slices, a, b, factors, hidden, strict=True)
    ):
        g_LO = g_TO[start:stop].to(dtype)
        if needed[count + i]:
            product_OR = _product_by_tokens(g_LO, _scaled(h_LR, factor))
            gradients[count + i] = product_OR.mul_(scale).to(b_OR.dtype)
        if dx_TI is None and not needed[i] and not needed[2 * count + i]:
            continue
        dh_LR = (g_LO @ b_OR.to(dtype)).mul_(scale)
        if needed[2 * count + i]:
            gradients[2 * count + i] = (dh_LR * h_LR).sum(dtype=factor.dtype)
        dh_LR = _scaled(dh_LR, factor)
        if needed[i]:
            gradients[i] = (dh_LR.t() @ _input(x_TI, start, stop, mask_LI, dtype)).to(a_RI.dtype)
        if dx_TI is None:
            continue
        if mask_LI is None:
            _add_product(dx_TI[start:stop], dh_LR, a_RI.to(dtype), 1.0)
        else:
            dx_TI[start:stop].addcmul_((dh_LR @ a_RI.to(dtype)).to(dx_TI.dtype), mask_LI)
    return gradients


class _SegmentLinear(torch.autograd.Function):
    """`segment_linear`: base product and updates share one buffer."""

    @staticmethod
    def forward(
        ctx: Any,  # Any: autograd's context takes arbitrary attributes
        x_TI: Tensor,
        source: WeightSource,
        bias_O: Tensor | None,
        slices: _Slices,
        *weights: Tensor | None,
    ) -> Tensor:
        y_TO = torch.nn.functional.linear(x_TI, source(), bias_O)
        hidden = _add_updates(y_TO, x_TI, slices, weights)
        ctx.source = source
        ctx.slices = slices
        ctx.save_for_backward(x_TI, *weights, *hidden)
        return y_TO

    @staticmethod
    def backward(ctx: Any, g_TO: Tensor) -> tuple[Tensor | None, ...]:
        x_TI, *saved = ctx.saved_tensors
        g_TO = g_TO.contiguous()
        with _no_autocast(g_TO):  # a backward pass may be called under it too
            dx_TI = g_TO @ ctx.source() if ctx.needs_input_grad[0] else None
            gradients = _term_gradients(g_TO, x_TI, dx_TI, ctx.slices, saved, ctx.needs_input_grad[4:])
        return (dx_TI, None, None, None, *gradients)


class _SegmentDelta(torch.autograd.Function):
    """The updates alone, added in place to the output of a base layer of any kind (8-bit, convolution, ...)."""

    @staticmethod
    def forward(
        ctx: Any,  # Any: autograd's context takes arbitrary attributes
        y_TO: Tensor,
        x_TI: Tensor,
        slices: _Slices,
        *weights: Tensor | None,
    ) -> Tensor:
        hidden = _add_updates(y_TO, x_TI, slices, weights)
        ctx.mark_dirty(y_TO)
        ctx.slices = slices
        ctx.save_for_backward(x_TI, *weights, *hidden)
        return y_TO

    @staticmethod
    def backward(ctx: Any, g_TO: Tensor) -> tuple[Tensor | None, ...]:
        x_TI, *saved = ctx.saved_tensors
        g_TO = g_TO.contiguous()
        dx_TI = torch.zeros_like(x_TI) if ctx.needs_input_grad[1] else None
        with _no_autocast(g_TO):  # a backward pass may be called under it too
            gradients = _term_gradients(g_TO, x_TI, dx_TI, ctx.slices, saved, ctx.needs_input_grad[3:])
        return (g_TO, dx_TI, None, *gradients)


def _split(x_TI: Tensor, terms: Sequence[Term]) -> tuple[_Slices, list[Tensor | None]]:
    dtype, device = x_TI.dtype, x_TI.device.type
    slices = _Slices(
        bounds=tuple((term.start, term.stop, term.scale) for term in terms),
        masks=tuple(term.mask_LI for term in terms),
        dtypes=tuple(
            torch.float32
            if multiplies_in_fp32(dtype, device, t.stop - t.start, t.a_RI.shape[1] + t.b_OR.shape[0])
            else dtype
            for t in terms
        ),
    )
    return slices, [
        *(term.a_RI for term in terms),
        *(term.b_OR for term in terms),
        *(term.factor for term in terms),
    ]


def segment_linear(
    x_TI: Tensor, weight_OI: Tensor | WeightSource, bias_O: Tensor | None, terms: Sequence[Term]
) -> Tensor:
    """Apply a frozen linear layer and all terms' updates.

    Args:
        x_TI: Input `[T, D_in]`.
        weight_OI: Frozen weight `[D_out, D_in]` of the input's dtype, or what makes it; it receives no gradient.
        bias_O: Frozen bias `[D_out]` or None.
        terms: The updates; their matrices have the input's dtype or a wider one. Ranges may overlap or be empty.

    Returns:
        Output `[T, D_out]`.
    """
    slices, weights = _split(x_TI, terms)
    source = (lambda: weight_OI) if isinstance(weight_OI, Tensor) else weight_OI
    with _no_autocast(x_TI):
        result: Tensor = _SegmentLinear.apply(x_TI, source, bias_O, slices, *weights)  # type: ignore[no-untyped-call]
    return result


def segment_delta(y_TO: Tensor, x_TI: Tensor, terms: Sequence[Term]) -> Tensor:
    """Add all terms' updates to the output of a base layer.

    Args:
        y_TO: The base layer's output `[T, D_out]`; changed in place.
        x_TI: The base layer's input `[T, D_in]`, of the output's dtype.
        terms: The updates, as in `segment_linear`.

    Returns:
        `y_TO`, now carrying the updates' gradients.
    """
    slices, weights = _split(x_TI, terms)
    with _no_autocast(x_TI):
        result: Tensor = _SegmentDelta.apply(y_TO, x_TI, slices, *weights)  # type: ignore[no-untyped-call]
    return result
