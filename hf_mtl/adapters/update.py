"""What one adapter does to one layer of the base.

An adapter of any kind that acts on linear layers is a set of updates, one per layer. An update adds its effect to
the base layer's output on the tokens of its span, so that several adapters on one token simply add up. LoRA's
effects are fused into one function for all spans (`segment_linear`); every other kind computes its effect by itself,
in `effect`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from peft import PeftConfig
from torch import Tensor, nn

from hf_mtl.adapters.routing import RoutedPass, Span
from hf_mtl.adapters.virtual import VirtualTokens

__all__ = ["AdapterPlan", "LayerUpdate", "OwnEffect", "trainable"]


class LayerUpdate(nn.Module, ABC):
    """Abstract: one adapter's update of one layer."""

    @abstractmethod
    def file_parameters(self) -> Mapping[str, nn.Parameter]:
        """The update's parameters, by the ending that their keys have in PEFT's files (`"lora_A.weight"`)."""


class OwnEffect(LayerUpdate):
    """Abstract: an update that computes its effect by itself."""

    @abstractmethod
    def effect(
        self, x_LI: Tensor, y_LO: Tensor, base_layer: nn.Module, span: Span, routed: RoutedPass
    ) -> Tensor:
        """What this adapter adds to the base layer's output on one span.

        Args:
            x_LI: The layer's input on the span, `[L, D_in]`.
            y_LO: The base layer's output on the span, `[L, D_out]`.
            base_layer: The frozen base layer.
            span: Tokens, and the weight that multiplies the effect.
            routed: The pass in flight.

        Returns:
            `[L, D_out]`, of the output's dtype.
        """


def trainable(weight: Tensor) -> nn.Parameter:
    """A parameter that starts as a copy of `weight`, in fp32 or wider: an adapter has one dtype on any base."""
    return nn.Parameter(weight.detach().to(torch.promote_types(weight.dtype, torch.float32), copy=True))


@dataclass(frozen=True)
class AdapterPlan:
    """What an adapter changes.

    Args:
        config: The config with everything resolved (its targets as PEFT saves them).
        updates: By the path of the layer in the base.
        virtual: The virtual tokens of an adapter that has such.
    """

    config: PeftConfig
    updates: Mapping[str, LayerUpdate]
    virtual: VirtualTokens | None = None
