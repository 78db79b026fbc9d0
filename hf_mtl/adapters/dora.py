r"""DoRA: the low-rank update changes a weight's direction, a learned vector its magnitude.

Liu et al. 2024, https://arxiv.org/abs/2402.09353, as PEFT computes it: with the columns' norm
`n = ||W + s B A||` held constant in the backward pass (section 4.3) and the gain `g = m / n`,

.. math:: y = x W^T + b + (g - 1) \circ (x W^T) + g \circ s \, x A^T B^T

where dropout, if there is any, acts on both `x` after the first term.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from hf_mtl.adapters.dropout import kept_scale, keyed_mask, layer_key
from hf_mtl.adapters.frozen import is_plain_linear, narrow_weight
from hf_mtl.adapters.placement import full_weight
from hf_mtl.adapters.routing import RoutedPass, Span
from hf_mtl.adapters.update import OwnEffect, trainable

__all__ = ["DoraUpdate"]


class DoraUpdate(OwnEffect):
    """The update of one layer.

    The norm costs more than all the rest of a short pass, and on a quantised base it de-quantises the weight: it is
    computed once for all passes of a round or an evaluation (`hf_mtl.adapters.constants`).

    Args:
        lora_A: `[r, D_in]`.
        lora_B: `[D_out, r]`.
        magnitude: `[D_out]`.
        scale: `alpha / r`, or `alpha / sqrt(r)` with rsLoRA.
        dropout: The probability of dropping an input feature in training.
        path: The layer's path in the base; it keys the dropout masks.
    """

    def __init__(
        self, lora_A: Tensor, lora_B: Tensor, magnitude: Tensor, *, scale: float, dropout: float, path: str
    ) -> None:
        super().__init__()
        self.lora_A = trainable(lora_A)
        self.lora_B = trainable(lora_B)
        self.magnitude = trainable(magnitude)
        self.scale = scale
        self.dropout = dropout
        self._key = layer_key(path)

    def file_parameters(self) -> dict[str, nn.Parameter]:
        """`lora_A.weight`, `lora_B.weight` and `lora_magnitude_vector`."""
        return {
            "lora_A.weight": self.lora_A,
            "lora_B.weight": self.lora_B,
            "lora_magnitude_vector": self.magnitude,
        }

    def effect(
        self, x_LI: Tensor, y_LO: Tensor, base_layer: nn.Module, span: Span, routed: RoutedPass
    ) -> Tensor:
        """What direction and magnitude change, in the magnitude's dtype; the products are in the base's dtype."""
        dtype = y_LO.dtype
        gain_O = self.magnitude / self._norm(base_layer, routed)
        x_LI = x_LI.to(dtype)
        if self.training and self.dropout > 0:
            mask_LI = keyed_mask(routed, span.start, span.stop, x_LI, p=self.dropout, key=self._key)
            x_LI = x_LI * mask_LI * kept_scale(self.dropout)
            product_LO = linear(x_LI, _weight_for(x_LI, base_layer))
        else:
            product_LO = _without_bias(y_LO, base_layer)
        low_rank_LO = linear(linear(x_LI, self.lora_A.to(dtype)), self.lora_B.to(dtype))
        effect_LO: Tensor = (gain_O - 1) * product_LO + (gain_O * self.scale) * low_rank_LO
        return effect_LO * span.weight

    @torch.no_grad()
    def _norm(self, base_layer: nn.Module, routed: RoutedPass) -> Tensor:
        """The norms of the changed weight's rows, `[D_out]`."""
        known = None if routed.constants is None else routed.constants.get(self)
        if known is not None:
            return known
        changed_OI = full_weight(base_layer).to(self.lora_A.dtype) + self.scale * (self.lora_B @ self.lora_A)
        norm_O: Tensor = torch.linalg.vector_norm(changed_OI, dim=1)
        if routed.constants is not None:
            routed.constants[self] = norm_O
        return norm_O

    def extra_repr(self) -> str:
        """Rank, scale and dropout, for `print(model)`."""
        return f"r={self.lora_A.shape[0]}, scale={self.scale:g}, dropout={self.dropout:g}"


def _weight_for(x_LI: Tensor, layer: nn.Module) -> Tensor:
    """The layer's weight for a product with `x_LI`; under autocast the copy that is kept of it."""
    if not is_plain_linear(layer):
        return full_weight(layer).to(x_LI.dtype)
    assert isinstance(layer, nn.Linear | Conv1D)
    weight = narrow_weight(layer.weight, x_LI).to(x_LI.dtype)
    return weight.t() if isinstance(layer, Conv1D) else weight


def _without_bias(y_LO: Tensor, layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Linear | Conv1D)
    return y_LO if layer.bias is None else y_LO - layer.bias.to(y_LO.dtype)
