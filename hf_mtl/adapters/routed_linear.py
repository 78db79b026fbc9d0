"""A layer of the base together with the updates of all the adapters that change it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from hf_mtl.adapters.forms import capability_of, groups_on, uses_grouped_mm
from hf_mtl.adapters.frozen import autocast_dtype, is_plain_linear, narrow_weight
from hf_mtl.adapters.grouped import grouped_delta
from hf_mtl.adapters.lora import LoraUpdate
from hf_mtl.adapters.own_effects import add_effects
from hf_mtl.adapters.quantised import weight_source
from hf_mtl.adapters.routing import RoutedPass, Span, current_pass
from hf_mtl.adapters.segment_linear import WeightSource, segment_delta, segment_linear
from hf_mtl.adapters.update import LayerUpdate, OwnEffect

__all__ = ["RoutedLinear"]


class RoutedLinear(nn.Module):
    """Stands in for a linear layer of the base; each token gets the updates that its route asks for.

    Args:
        base_layer: The frozen layer: `nn.Linear`, or any module that maps `[..., D_in]` to `[..., D_out]`.
        at_head: Whether this is the vocabulary head, which sees the labelled tokens only.
    """

    def __init__(self, base_layer: nn.Module, *, at_head: bool = False) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.at_head = at_head
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
        routed = (current_pass().at_head() if self.at_head else current_pass()).over(x.shape[:-1])
        tokens = x.shape[:-1].numel()
        if routed.form is not None:
            made = routed.form.output(self, x.reshape(tokens, x.shape[-1]), routed)
            if made is not None:
                return made.view(*x.shape[:-1], made.shape[-1])
        found = [(s, self.update(s.adapter)) for s in routed.spans if s.adapter in self.adapters]
        if not found:
            return self.base_layer(x)  # type: ignore[no-any-return]  # modules are untyped callables
        stream = x.reshape(tokens, x.shape[-1])
        low_rank = [(span, update) for span, update in found if isinstance(update, LoraUpdate)]
        others = [(span, update) for span, update in found if isinstance(update, OwnEffect)]
        weight = None if others else self._own_weight(x)
        if weight is not None:
            stream = stream.to(autocast_dtype(x) or x.dtype)
            terms = [update.term(span, stream, routed) for span, update in low_rank]
            bias = None if self.bias is None else self.bias.to(stream.dtype)
            y = segment_linear(stream, weight, bias, terms)
        else:
            y = self._beside(stream, low_rank, others, routed)
        return y.view(*x.shape[:-1], y.shape[-1])

    def base_output(self, x: Tensor) -> Tensor:
        """What the base layer gives for `[T, D_in]`, computed as it is below the updates; not for autocast."""
        weight = self._own_weight(x)
        if weight is None:
            return self.base_layer(x)  # type: ignore[no-any-return]
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return linear(x, weight if isinstance(weight, Tensor) else weight(), bias)

    def _beside(
        self,
        stream: Tensor,
        low_rank: Sequence[tuple[Span, LoraUpdate]],
        others: Sequence[tuple[Span, OwnEffect]],
        routed: RoutedPass,
    ) -> Tensor:
        """The base layer by itself, then the updates added to its output."""
        y = self.base_layer(stream)
        if others:
            y = add_effects(y, stream, others, self.base_layer, routed)
        if not low_rank:
            return y  # type: ignore[no-any-return]
        stream = stream.to(y.dtype)
        terms = [update.term(span, stream, routed) for span, update in low_rank]
        capability = capability_of(y.device)
        grouped = uses_grouped_mm(y.dtype, capability, stream.shape[1], y.shape[1])
        return (grouped_delta if grouped else segment_delta)(y, stream, terms)

    def _own_weight(self, x: Tensor) -> Tensor | WeightSource | None:
        """The weight `[D_out, D_in]`, where the base product may be computed by us. Else None.

        That is so for an ordinary linear layer (or GPT-2's, whose weight is transposed), under autocast too, and for a
        4-bit one, which under autocast has its own rule of what it returns.
        """
        base = self.base_layer
        cast = autocast_dtype(x)
        dtype = cast or x.dtype
        if groups_on(dtype, capability_of(x.device)):
            return None  # the updates are grouped
        if not is_plain_linear(base):
            return None if cast else weight_source(base, dtype)
        weight = narrow_weight(self.weight, x)
        if weight.dtype != dtype:
            return None
        return weight.t() if isinstance(base, Conv1D) else weight
