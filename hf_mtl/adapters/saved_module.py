"""`modules_to_save`: a layer that an adapter does not adapt but replaces by its own copy.

PEFT trains such a copy in full and saves all of it. Its effect is the difference between the copy's output and the
base layer's, so that it adds up with other adapters' effects like every other one.
"""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from hf_mtl.adapters.frozen import is_plain_linear
from hf_mtl.adapters.routing import RoutedPass, Span
from hf_mtl.adapters.update import OwnEffect, trainable
from hf_mtl.errors import ConfigError

__all__ = ["SavedLinear"]


class SavedLinear(OwnEffect):
    """A trained copy of a linear layer: `effect = (x W'^T + b') - y`, with `y` the base layer's output.

    Args:
        weight: As the layer has it: `[D_out, D_in]`, or `[D_in, D_out]` if `transposed`.
        bias: `[D_out]` or None.
        transposed: Whether the layer is GPT-2's `Conv1D`.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, *, transposed: bool) -> None:
        super().__init__()
        self.weight = trainable(weight)
        self.bias = None if bias is None else trainable(bias)
        self.transposed = transposed

    @classmethod
    def copied(cls, path: str, layer: nn.Module) -> Self:
        """Take over PEFT's copy of a layer.

        Raises:
            ConfigError: If it is no linear layer of full precision.
        """
        if not is_plain_linear(layer):
            raise ConfigError(
                f"modules_to_save matches {path!r}, of type {type(layer).__name__}: a copy per adapter is supported "
                f"for linear layers that are not quantised (nn.Linear, Conv1D), such as the vocabulary head. Leave the "
                f"name out, or write more of its path if another module is meant."
            )
        assert isinstance(layer, nn.Linear | Conv1D)
        return cls(layer.weight, layer.bias, transposed=isinstance(layer, Conv1D))

    def file_parameters(self) -> dict[str, nn.Parameter]:
        """`weight`, and `bias` where the layer has one."""
        return {"weight": self.weight} | ({} if self.bias is None else {"bias": self.bias})

    def effect(
        self, x_LI: Tensor, y_LO: Tensor, base_layer: nn.Module, span: Span, routed: RoutedPass
    ) -> Tensor:
        """The copy's output in the base's dtype, less the base layer's."""
        dtype = y_LO.dtype
        weight = self.weight.t() if self.transposed else self.weight
        bias = None if self.bias is None else self.bias.to(dtype)
        own_LO = linear(x_LI.to(dtype), weight.to(dtype), bias)
        return (own_LO.to(self.weight.dtype) - y_LO) * span.weight
