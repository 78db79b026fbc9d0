"""A layer of the base together with the updates of all the adapters that change it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hf_mtl.adapters.forms import uses_grouped_mm
from hf_mtl.adapters.grouped import grouped_delta
from hf_mtl.adapters.lora import LoraUpdate
from hf_mtl.adapters.quantised import weight_source
from hf_mtl.adapters.routing import RoutedPass, Span, current_pass
from hf_mtl.adapters.segment_linear import WeightSource, segment_delta, segment_linear
from hf_mtl.adapters.update import LayerUpdate, OwnEffect

__all__ = ["RoutedLinear"]


class RoutedLinear(nn.Module):
    """Stands in for a linear layer of the base; each token gets the updates that its route asks for.

    Args:
        base_layer: The frozen layer: `nn.Linear`, or any module that maps `[..., D_in]` to `[..., D_out]`.
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.adapters = nn.ModuleDict()

    @property
    def weight(self) -> Tensor:
        """The base layer's weight; some models look at its dtype."""
        return self.base_layer.weight  # type: ignore[return-value]  # nn.Module types attributes as Tensor | Module

    @property
    def bias(self) -> Tensor | None:
        """The base layer's bias."""
        return self.base_layer.bias  # type: ignore[return-value]

    def update(self, name: str) -> LayerUpdate:
        """The update that the adapter `name` makes here."""
        update = self.adapters[name]
        assert isinstance(update, LayerUpdate)
        return update

    def forward(self, x: Tensor) -> Tensor:
        """Map `[..., D_in]` to `[..., D_out]`; the leading dimensions together are the token stream.

        Raises:
            RoutingError: If no pass is installed, or one that describes another stream.
        """
        routed = current_pass()
        tokens = x.shape[:-1].numel()
        found = [(s, self.update(s.adapter)) for s in routed.spans_over(tokens) if s.adapter in self.adapters]
        if not found:
            return self.base_layer(x)  # type: ignore[no-any-return]  # modules are untyped callables
        stream = x.reshape(tokens, x.shape[-1])
        low_rank = [(span, update) for span, update in found if isinstance(update, LoraUpdate)]
        others = [(span, update) for span, update in found if isinstance(update, OwnEffect)]
        weight = None if others else self._own_weight(x)
        if weight is not None:
            terms = [update.term(span, stream, routed) for span, update in low_rank]
            bias = None if self.bias is None else self.bias.to(x.dtype)
            y = segment_linear(stream, weight, bias, terms)
        else:
            y = self._beside(stream, low_rank, others, routed)
        return y.view(*x.shape[:-1], y.shape[-1])

    def _beside(
        self,
        stream: Tensor,
        low_rank: Sequence[tuple[Span, LoraUpdate]],
        others: Sequence[tuple[Span, OwnEffect]],
        routed: RoutedPass,
    ) -> Tensor:
        """The base layer by itself, then the updates added to its output."""
        y = self.base_layer(stream)
        effects = [
            update.effect(
                stream[span.start : span.stop], y[span.start : span.stop], self.base_layer, span, routed
            )
            for span, update in others
        ]
        for (span, _), effect in zip(others, effects, strict=True):
            y[span.start : span.stop] += effect
        if not low_rank:
            return y  # type: ignore[no-any-return]
        stream = stream.to(y.dtype)
        terms = [update.term(span, stream, routed) for span, update in low_rank]
        grouped = uses_grouped_mm(y.dtype, y.device.type, stream.shape[1], y.shape[1])
        return (grouped_delta if grouped else segment_delta)(y, stream, terms)

    def _own_weight(self, x: Tensor) -> Tensor | WeightSource | None:
        """The weight, where the base product may be computed by us: nothing casts around it. Else None."""
        base = self.base_layer
        if torch.is_autocast_enabled(x.device.type) or (
            x.device.type == "cuda" and x.dtype == torch.bfloat16
        ):
            return None  # autocast has its say, or the updates are grouped
        if type(base) is nn.Linear:
            return base.weight if base.weight.dtype == x.dtype else None
        return weight_source(base, x.dtype)
