"""Attention over a packed stream: no sequence sees another one.

Registered under `PACKED` through the official extension points of `transformers` (`AttentionInterface`,
`AttentionMaskInterface`). It reads the sequences' lengths from the pass in flight, so no mask is built at all
and no product between two sequences is computed. What the base says of its attention (causal or not, a
window) holds within each sequence. A pass that writes text keeps its keys and values in its `memory`, which attends
to those of earlier passes. Outside a packed pass (padded rows, the base's own `generate`) it hands over to the
stock SDPA attention.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from hf_mtl.adapters import RoutedPass, autocast_dtype, current_pass
from hf_mtl.adapters.forms import attends_by_varlen, attends_in_fp32, capability_of
from hf_mtl.errors import RoutingError
from hf_mtl.models.prefix_attention import join_prefixes
from hf_mtl.versions import varlen_options

__all__ = ["PACKED", "register_packed_attention"]

PACKED = "hf_mtl_packed"

# Arguments of attention functions that change its result, and that the packed form does not compute.
_REFUSED = ("softcap", "s_aux", "position_bias")


class _Form(NamedTuple):
    """What the base says of its attention.

    Args:
        causal: Whether a token sees only itself and earlier ones.
        window: A token sees those at a distance below this, on both sides if not causal; None sees all.
        scaling: Multiplies the scores; None is `1 / sqrt(D)`.
    """

    causal: bool
    window: int | None
    scaling: float | None


def _attend(query: Tensor, key: Tensor, value: Tensor, form: _Form) -> Tensor:
    """Attention of one sequence, `[1, H, S, D]`.

    Keys and values may have fewer heads, and may begin with the virtual tokens of a prefix, which every token sees as
    far as the window reaches.
    """
    length, seen = query.shape[2], key.shape[2]
    grouped = query.shape[1] != key.shape[1]
    aligned = length == seen or not form.causal
    if aligned and (form.window is None or seen <= form.window):
        return scaled_dot_product_attention(
            query, key, value, is_causal=form.causal, scale=form.scaling, enable_gqa=grouped
        )
    position = torch.arange(seen, device=query.device)
    distance = position[seen - length :, None] - position[None, :]
    mask = distance.abs() < (seen if form.window is None else form.window)
    if form.causal:
        mask &= distance >= 0
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=form.scaling, enable_gqa=grouped
    )


def _one_by_one(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[tuple[int, ...], tuple[int, ...]],
    form: _Form,
) -> Tensor:
    """Attention of each sequence by itself, `[1, H, T, D]`; `lengths` are those of queries and of keys.

    Each is attended in the precision that is fastest for it; its neighbours have no say in it. The stream is cast as
    a whole, which is the same and takes fewer steps.
    """
    dtype = query.dtype
    wide = [attends_in_fp32(dtype, query.device.type, length) for length in lengths[1]]
    streams = [(query, key, value)] if not all(wide) else []
    if any(wide):
        streams.append((query.float(), key.float(), value.float()))
    parts = [
        list(zip(q.split(lengths[0], 2), k.split(lengths[1], 2), v.split(lengths[1], 2), strict=True))
        for q, k, v in streams
    ]
    attended = [_attend(*parts[-1 if is_wide else 0][i], form) for i, is_wide in enumerate(wide)]
    if not all(wide):
        attended = [part.to(dtype) for part in attended]
    return torch.cat(attended, dim=2).to(dtype)


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[tuple[int, ...], tuple[int, ...]],
    form: _Form,
) -> Tensor:
    """Variable-length flash attention (CUDA, half precision) over all sequences in one kernel, `[1, H, T, D]`.

    Causality is aligned at the sequences' ends, so a prefix is seen by every token.
    """
    queries, keys = (
        pad(torch.tensor(n, device=query.device, dtype=torch.int32).cumsum(0, dtype=torch.int32), (1, 0))
        for n in lengths
    )
    reach = -1 if form.window is None else form.window - 1
    query_THD, key_THD, value_THD = (x[0].transpose(0, 1).contiguous() for x in (query, key, value))
    attended = varlen_attn(
        query_THD, key_THD, value_THD, queries, keys, max(lengths[0]), max(lengths[1]),
        scale=form.scaling, window_size=(reach, 0 if form.causal else reach),
        **varlen_options(varlen_attn, grouped=query.shape[1] != key.shape[1]),
    )  # fmt: skip
    assert isinstance(attended, Tensor)
    return attended.transpose(0, 1).unsqueeze(0)


def _attended(  # noqa: PLR0913  # what `_packed_attention` was given
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    routed: RoutedPass,
    window: int | None,
    scaling: float | None,
    is_causal: bool | None,
) -> Tensor:
    """Attention of a packed pass, `[1, H, T, D]` in, `[1, T, H, D]` out; all three in one dtype."""
    varlen = attends_by_varlen(query.dtype, capability_of(query.device))
    kernel = _flash if varlen else _one_by_one
    key, value, key_lengths = join_prefixes(module, key, value, routed)
    if routed.memory is not None:
        layer = module.layer_idx
        assert isinstance(layer, int)
        seen = routed.memory.attend(layer, query, key, value, window=window, scaling=scaling)
        if seen is not None:
            return seen
    causal = bool(module.is_causal) if is_causal is None else is_causal
    form = _Form(causal, window, scaling)
    attended = kernel(query, key, value, (routed.lengths, key_lengths), form)
    return attended.transpose(1, 2).contiguous()


def _packed_attention(  # noqa: PLR0913  # the signature is transformers' own
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,  # Any: what a model hands to its attention is its own affair
) -> tuple[Tensor, None]:
    """The attention function; shapes as in `transformers`: `[B, H, T, D]` in, `[B, T, H, D]` out.

    The base's own attention dropout is off (see `RoutedModel`), so `dropout` is not looked at.
    """
    routed = current_pass()
    dtype = autocast_dtype(query)
    if dtype is not None:  # rotary positions leave queries and keys wider than values
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    if not routed.lengths:
        output: tuple[Tensor, None] = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            scaling=scaling,
            sliding_window=sliding_window,
            is_causal=is_causal,
            **kwargs,
        )
        return output
    for name in _REFUSED:
        if kwargs.get(name) is not None:
            raise RoutingError(
                f"This base's attention uses {name!r}, which packed attention does not compute."
            )
    with torch.autocast(query.device.type, enabled=False) if dtype else contextlib.nullcontext():
        return _attended(module, query, key, value, routed, sliding_window, scaling, is_causal), None


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
