"""Adapters and how a mixed stream of tokens reaches them.

A stream is cut into spans, one per route; each routed layer applies to each span the updates of that span's
adapter:

    >>> import torch
    >>> from torch import nn
    >>> from hf_mtl.adapters import LoraUpdate, RoutedLinear, RoutedPass, Span, install
    >>> layer = RoutedLinear(nn.Linear(2, 2, bias=False).requires_grad_(False))
    >>> _ = layer.base_layer.weight.copy_(torch.eye(2))
    >>> layer.adapters["mtl_0"] = LoraUpdate(torch.eye(2), torch.eye(2), scale=1.0, dropout=0.0, path="")
    >>> with install(RoutedPass(spans=(Span("mtl_0", 1, 2),), lengths=(1, 1))):
    ...     layer(torch.ones(2, 2)).tolist()
    [[1.0, 1.0], [2.0, 2.0]]
"""

from hf_mtl.adapters.closeness import add_closeness, closeness, inner_products
from hf_mtl.adapters.constants import unchanging_weights
from hf_mtl.adapters.frozen import (
    autocast_dtype,
    forget_casts,
    frozen_layers,
    kept_bytes,
    renew_casts,
)
from hf_mtl.adapters.lora import LoraUpdate
from hf_mtl.adapters.plan import KINDS, check_limits, plan_adapter
from hf_mtl.adapters.prefix import Prefix
from hf_mtl.adapters.prompt import Prompt
from hf_mtl.adapters.quantised import keep_trainable, quantisation_scales, quantised_layers
from hf_mtl.adapters.routed_linear import RoutedLinear
from hf_mtl.adapters.routing import (
    KeysValues,
    PassMemory,
    RoutedPass,
    Span,
    current_pass,
    install,
    recompute_contexts,
)
from hf_mtl.adapters.segment_linear import Term, segment_delta, segment_linear
from hf_mtl.adapters.stacked import StackedLoras
from hf_mtl.adapters.update import AdapterPlan, LayerUpdate, OwnEffect
from hf_mtl.adapters.virtual import VirtualTokens

__all__ = [
    "KINDS",
    "AdapterPlan",
    "KeysValues",
    "LayerUpdate",
    "LoraUpdate",
    "OwnEffect",
    "PassMemory",
    "Prefix",
    "Prompt",
    "RoutedLinear",
    "RoutedPass",
    "Span",
    "StackedLoras",
    "Term",
    "VirtualTokens",
    "add_closeness",
    "autocast_dtype",
    "check_limits",
    "closeness",
    "current_pass",
    "forget_casts",
    "frozen_layers",
    "inner_products",
    "install",
    "keep_trainable",
    "kept_bytes",
    "plan_adapter",
    "quantisation_scales",
    "quantised_layers",
    "recompute_contexts",
    "renew_casts",
    "segment_delta",
    "segment_linear",
    "unchanging_weights",
]
