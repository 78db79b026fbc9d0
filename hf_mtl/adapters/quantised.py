"""Linear layers that bitsandbytes has quantised, as the routed pass uses them.

A 4-bit layer (QLoRA, Dettmers et al. 2023, https://arxiv.org/abs/2305.14314) is de-quantised once in the forward
pass and once in the backward pass, for all adapters together; the dense weight is never kept. An 8-bit layer
(LLM.int8(), Dettmers et al. 2022, https://arxiv.org/abs/2208.07339) computes by itself and the updates are added.

bitsandbytes is optional: only a base that it has quantised brings it in, and then it is imported already.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from hf_mtl.adapters.segment_linear import WeightSource

__all__ = ["keep_trainable", "quantisation_scales", "quantised_layers", "weight_source"]


def _bitsandbytes() -> ModuleType | None:
    """bitsandbytes, if anything has imported it: without it no layer can be one of its."""
    return sys.modules.get("bitsandbytes")


def _is_four_bit(layer: Any) -> bool:  # Any: as in quantised_layers
    library = _bitsandbytes()
    return library is not None and isinstance(layer, library.nn.Linear4bit)


def quantised_layers(model: nn.Module) -> dict[str, Any]:  # Any: bitsandbytes carries no types
    """The layers of a model that bitsandbytes has quantised, by path."""
    library = _bitsandbytes()
    if library is None:
        return {}
    kinds = (library.nn.Linear4bit, library.nn.Linear8bitLt)
    return {path: layer for path, layer in model.named_modules() if isinstance(layer, kinds)}


def quantisation_scales(model: nn.Module) -> list[tuple[str, Tensor]]:
    """The scales that stand beside the stored bytes of quantised weights, each with a name of its own."""
    scales: list[tuple[str, Tensor]] = []
    for path, layer in quantised_layers(model).items():
        weight = layer.weight
        if _is_four_bit(layer):
            scales.append((f"{path}.weight.absmax", weight.quant_state.absmax))
        else:
            scales.append((f"{path}.weight.SCB", weight.SCB if weight.CB is not None else layer.state.SCB))
    return scales


def keep_trainable(model: nn.Module) -> None:
    """Forbid the repacking of 4-bit weights on CPUs with AVX512-bf16, and undo one that has happened.

    There an evaluation pass repacks the weights in place for inference, and later training silently loses
    gradients. (Unpacked again, the scales stay rounded to bf16.)
    """
    for layer in quantised_layers(model).values():
        if _is_four_bit(layer):
            layer.state_dict()  # unpacks as a side effect; bitsandbytes 0.50 has no function for it
            layer.support_avx512bf16_for_cpu = False


def weight_source(layer: Any, dtype: torch.dtype) -> WeightSource | None:
    """What makes the dense weight `[D_out, D_in]` of a 4-bit layer that computes in `dtype`; None for other layers."""
    if not _is_four_bit(layer) or (layer.compute_type_is_set and layer.compute_dtype != dtype):
        return None
    library = _bitsandbytes()
    assert library is not None

    def dense() -> Tensor:
        weight = layer.weight
        made: Tensor = library.functional.dequantize_4bit(weight.data, weight.quant_state)
        return made.to(dtype)

    return dense
