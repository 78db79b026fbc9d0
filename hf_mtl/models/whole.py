"""Which base objects take adapters: those that lie whole on one device, as they were loaded; others are refused."""

from __future__ import annotations

import torch
from torch import nn
from transformers import PreTrainedModel

from hf_mtl.errors import ConfigError, listing

__all__ = ["refuse_base"]

_WAY = (
    "Load it whole onto one device: without device_map (or with device_map={'': 'cuda:0'}), tp_plan and offloading. A "
    "base that is too large for that may fit in 4 bits: load_base(..., quantization='4bit')."
)


def refuse_base(base: nn.Module) -> None:
    """Refuse a base that is compiled, offloaded, on the meta device, sharded, or placed over several devices.

    Raises:
        ConfigError: If it is, naming where its weights are; or if it is no `transformers` model.
    """
    base = _not_compiled(base)
    problem = _sharded(base) or _offloaded(base) or _several_devices(base)
    if problem is not None:
        raise ConfigError(f"The base, a {type(base).__name__}, {problem}, which is not supported yet. {_WAY}")


def _not_compiled(base: nn.Module) -> PreTrainedModel:
    """The base, if it did not go through `torch.compile`."""
    why = "every batch has another layout, so each would compile anew. Pass the model as it was before torch.compile."
    if not isinstance(base, PreTrainedModel):
        raise ConfigError(
            f"The base must be a transformers PreTrainedModel, found {type(base).__name__}. A compiled model is "
            f"refused: {why}"
        )
    if any(module._compiled_call_impl is not None for module in base.modules()):
        raise ConfigError(f"The base is compiled (model.compile()), which is refused: {why}")
    return base


def _sharded(base: PreTrainedModel) -> str | None:
    if not torch.distributed.is_available():
        return None
    from torch.distributed.tensor import DTensor

    name = next((name for name, own in base.named_parameters() if isinstance(own, DTensor)), None)
    if name is not None:
        return f"is sharded over processes ({name} is a DTensor, as of tensor parallelism or FSDP)"
    if base.tp_size is not None and base.tp_size > 1:
        return f"is tensor-parallel over {base.tp_size} processes"
    return None


def _offloaded(base: PreTrainedModel) -> str | None:
    tensors = [*base.named_parameters(), *base.named_buffers()]
    away = [name for name, own in tensors if own.is_meta]
    if not away:
        return None
    return (
        f"has {len(away)} of {len(tensors)} tensors on the meta device, such as {away[0]}: they are offloaded to disk "
        f"or memory, or were never loaded"
    )


def _several_devices(base: PreTrainedModel) -> str | None:
    devices = {str(own.device) for own in base.parameters()}
    return None if len(devices) < 2 else f"is placed over several devices ({listing(devices)})"
