r"""The LoRAs of all routes in flight beside each other, for passes of one token per sequence.

Where text is written, a span is a handful of tokens, and two products per adapter and layer cost more in calls than in
arithmetic. So the matrices of all LoRAs that act on a layer stand beside each other, and every token goes through all
of them; what is not its own is set to zero between the two products:

.. math:: y = x W^T + b + (x A_{all}^T \circ M) B_{all}^T

with `A_all [R, D_in]`, `B_all [R, D_out]` (each LoRA's scale and weight in it), `R` the sum of the ranks, and
`M [T, R]` the mask. For inference only: there are no gradients. A LoRA whose weights are not finite would reach its
neighbours (`0 * NaN`); a layer with such a one is computed the ordinary way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hf_mtl.adapters.forms import stacks
from hf_mtl.adapters.lora import LoraUpdate
from hf_mtl.adapters.own_effects import add_effects
from hf_mtl.adapters.routed_linear import RoutedLinear
from hf_mtl.adapters.routing import RoutedPass, Span
from hf_mtl.adapters.update import OwnEffect

__all__ = ["StackedLoras"]

_Entry = tuple[str, float, Tensor | None]  # an adapter, its weight, its learned factor


class _Stack(NamedTuple):
    """The LoRAs of one layer."""

    entries: tuple[_Entry, ...]
    ranks: tuple[int, ...]
    a_RI: Tensor
    b_RO: Tensor


class _Plan(NamedTuple):
    """How one layer is computed as long as the spans stay the same."""

    stack: _Stack | None
    foreign_TR: Tensor | None  # what is not a token's own; None if everything is
    others: tuple[tuple[Span, OwnEffect], ...]


class StackedLoras:
    """A form of routed layers; see `RoutedPass.form`.

    It holds copies of the LoRAs' weights, so it is to be made anew when they change.
    """

    def __init__(self) -> None:
        self._spans: tuple[Span, ...] = ()
        self._plans: dict[nn.Module, _Plan | None] = {}
        self._stacks: dict[nn.Module, _Stack | None] = {}
        self._masks: dict[tuple[tuple[_Entry, ...], tuple[int, ...]], Tensor | None] = {}

    def output(self, layer: nn.Module, x_TI: Tensor, routed: RoutedPass) -> Tensor | None:
        """A routed layer's output `[T, D_out]`; None where the ordinary way is faster, or safer."""
        assert isinstance(layer, RoutedLinear)
        if torch.is_autocast_enabled(x_TI.device.type):
            return None
        if routed.spans is not self._spans:
            self._spans = routed.spans
            self._plans.clear()
            self._masks.clear()
        if layer not in self._plans:
            self._plans[layer] = self._plan(layer, x_TI)
        plan = self._plans[layer]
        if plan is None:
            return None
        y_TO: Tensor = layer.base_output(x_TI)
        if plan.stack is None:
            return y_TO
        hidden_TR = linear(x_TI.to(y_TO.dtype), plan.stack.a_RI)
        if plan.foreign_TR is not None:
            hidden_TR.masked_fill_(plan.foreign_TR, 0)
        if plan.others:
            y_TO = add_effects(y_TO, x_TI, plan.others, layer.base_layer, routed)
        return y_TO.addmm_(hidden_TR, plan.stack.b_RO)

    def _plan(self, layer: RoutedLinear, x_TI: Tensor) -> _Plan | None:
        found = [(s, layer.update(s.adapter)) for s in self._spans if s.adapter in layer.adapters]
        loras = [(span, update) for span, update in found if isinstance(update, LoraUpdate)]
        others = tuple((span, update) for span, update in found if isinstance(update, OwnEffect))
        if not loras:
            return None if others else _Plan(None, None, ())
        stack = self._stack(layer, loras, x_TI)
        if stack is None:
            return None
        return _Plan(stack, self._mask(stack, loras, x_TI), others)

    def _stack(
        self, layer: RoutedLinear, loras: Sequence[tuple[Span, LoraUpdate]], x_TI: Tensor
    ) -> _Stack | None:
        by_entry = {_entry(span): update for span, update in loras}
        ranks = tuple(update.lora_A.shape[0] for update in by_entry.values())
        width = loras[0][1].lora_A.shape[1] + loras[0][1].lora_B.shape[0]
        if not stacks(x_TI.device.type, len(x_TI), ranks, width):
            return None
        known = self._stacks.get(layer)
        if known is None or known.entries != tuple(by_entry):
            known = self._stacks[layer] = _stacked(by_entry, ranks, x_TI.dtype)
        return known

    def _mask(self, stack: _Stack, loras: Sequence[tuple[Span, LoraUpdate]], x_TI: Tensor) -> Tensor | None:
        """The mask; layers whose LoRAs have the same ranks share it."""
        key = (stack.entries, stack.ranks)
        if key not in self._masks:
            foreign_TR = torch.ones(len(x_TI), sum(stack.ranks), dtype=torch.bool)
            columns = dict(zip(stack.entries, foreign_TR.split(stack.ranks, dim=1), strict=True))
            for span, _ in loras:
                columns[_entry(span)][span.start : span.stop] = False
            self._masks[key] = foreign_TR.to(x_TI.device) if foreign_TR.any() else None
        return self._masks[key]


def _entry(span: Span) -> _Entry:
    return span.adapter, span.weight, span.factor


@torch.no_grad()
def _stacked(by_entry: dict[_Entry, LoraUpdate], ranks: tuple[int, ...], dtype: torch.dtype) -> _Stack | None:
    """The matrices beside each other, or None if one of them is not finite."""
    scaled = [
        update.lora_B.t() * (update.scale * weight * (1.0 if factor is None else factor))
        for (_, weight, factor), update in by_entry.items()
    ]
    a_RI = torch.cat([update.lora_A for update in by_entry.values()]).to(dtype)
    b_RO = torch.cat(scaled).to(dtype)
    if not (a_RI.isfinite().all() and b_RO.isfinite().all()):
        return None
    return _Stack(tuple(by_entry), ranks, a_RI, b_RO)
