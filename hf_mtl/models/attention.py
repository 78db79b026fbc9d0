"""Attention over a packed stream: no sequence sees another one.

Registered under `PACKED` through the official extension points of `transformers` (`AttentionInterface`,
`AttentionMaskInterface`). It reads the sequences' lengths from the pass in flight, so no mask is built at all
and no product between two sequences is computed. Outside a packed pass (generation with a cache) it hands
over to the stock SDPA attention.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from hf_mtl.adapters import current_pass
from hf_mtl.adapters.forms import attends_in_fp32
from hf_mtl.errors import RoutingError

__all__ = ["PACKED", "register_packed_attention"]

PACKED = "hf_mtl_packed"

# Arguments of attention functions that change its result, and that the packed form does not compute.
_REFUSED = ("softcap", "s_aux", "position_bias")


def _causal(query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None) -> Tensor:
    """Causal attention of one sequence, `[1, H, S, D]`; keys and values may have fewer heads."""
    length = query.shape[2]
    grouped = query.shape[1] != key.shape[1]
    if window is None or length <= window:
        return scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped
        )
    position = torch.arange(length, device=query.device)
    distance = position[:, None] - position[None, :]
    mask = (distance >= 0) & (distance < window)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, enable_gqa=grouped)


def _one_by_one(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """Attention of each sequence by itself, `[1, H, T, D]`."""
    parts = zip(
        query.split(lengths, dim=2), key.split(lengths, dim=2), value.split(lengths, dim=2), strict=True
    )
    return torch.cat([_in_its_form(q, k, v, scaling, window) for q, k, v in parts], dim=2)


def _in_its_form(
    query: Tensor, key: Tensor, value: Tensor, scaling: float | None, window: int | None
) -> Tensor:
    """`_causal` in the precision that is fastest for this sequence; its neighbours have no say in it."""
    dtype = query.dtype
    if attends_in_fp32(dtype, query.device.type, query.shape[2]):
        query, key, value = query.float(), key.float(), value.float()
    return _causal(query, key, value, scaling, window).to(dtype)


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """Variable-length flash attention (CUDA, half precision) over all sequences in one kernel, `[1, H, T, D]`."""
    ends = torch.tensor(lengths, device=query.device, dtype=torch.int32).cumsum(0, dtype=torch.int32)
    borders = pad(ends, (1, 0))
    query_THD, key_THD, value_THD = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
    attended = varlen_attn(
        query_THD, key_THD, value_THD, borders, borders, max(lengths), max(lengths),
        scale=scaling, window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    assert isinstance(attended, Tensor)
    return attended.transpose(0, 1).unsqueeze(0)


def _packed_attention(  # noqa: PLR0913  # the signature is transformers' own
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,  # Any: what a model hands to its attention is its own affair
) -> tuple[Tensor, None]:
    """The attention function; shapes as in `transformers`: `[B, H, T, D]` in, `[B, T, H, D]` out.

    The base's own attention dropout is off (see `RoutedModel`), so `dropout` is not looked at.
    """
    lengths = current_pass().lengths
    if not lengths:
        output: tuple[Tensor, None] = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            scaling=scaling,
            sliding_window=sliding_window,
            **kwargs,
        )
        return output
    for name in _REFUSED:
        if kwargs.get(name) is not None:
            raise RoutingError(
                f"This base's attention uses {name!r}, which packed attention does not compute."
            )
    kernel = _flash if query.device.type == "cuda" and query.dtype.itemsize == 2 else _one_by_one
    attended = kernel(query, key, value, lengths, scaling, sliding_window)
    return attended.transpose(1, 2).contiguous(), None


def _packed_mask(*args: Any, **kwargs: Any) -> Tensor | None:  # Any: the signature is transformers' own
    """No mask for a packed pass; the stock one otherwise."""
    if current_pass().lengths:
        return None
    mask: Tensor | None = sdpa_mask(*args, **kwargs)
    return mask


def register_packed_attention() -> None:
    """Make the attention known to `transformers`; calling it again changes nothing."""
    AttentionInterface.register(PACKED, _packed_attention)
    AttentionMaskInterface.register(PACKED, _packed_mask)
