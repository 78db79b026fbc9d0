"""Prefixes inside packed attention: extra keys and values for the sequences that own them, and for no other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hf_mtl.adapters import KeysValues, RoutedPass

__all__ = ["join_prefixes"]


def join_prefixes(
    module: nn.Module, key: Tensor, value: Tensor, routed: RoutedPass
) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """Put each sequence's prefix in front of its keys and values.

    Args:
        module: The attention layer; its `layer_idx` says which keys and values of a prefix are its.
        key: `[1, H_kv, T, D]`, after the rotation of positions.
        value: `[1, H_kv, T, D]`.
        routed: The pass in flight.

    Returns:
        Keys and values `[1, H_kv, T + P, D]`, where `P` counts each sequence's virtual tokens, and how many of them
        each sequence has.
    """
    if not routed.prefixes:
        return key, value, routed.lengths
    layer = module.layer_idx
    assert isinstance(layer, int)
    present = {id(prefix): prefix for prefix in routed.prefixes if prefix is not None}
    keys = _joined(key, {i: _cast(prefix[layer][0], key) for i, prefix in present.items()}, routed)
    values = _joined(value, {i: _cast(prefix[layer][1], value) for i, prefix in present.items()}, routed)
    lengths = tuple(
        length + _count(prefix) for length, prefix in zip(routed.lengths, routed.prefixes, strict=True)
    )
    return keys, values, lengths


def _cast(states_HnD: Tensor, like: Tensor) -> Tensor:
    return states_HnD.to(like.dtype).unsqueeze(0)


def _count(prefix: KeysValues | None) -> int:
    return 0 if prefix is None else prefix[0][0].shape[1]


def _joined(stream: Tensor, states: dict[int, Tensor], routed: RoutedPass) -> Tensor:
    pieces = []
    for own, prefix in zip(stream.split(routed.lengths, dim=2), routed.prefixes, strict=True):
        pieces += [own] if prefix is None else [states[id(prefix)], own]
    return torch.cat(pieces, dim=2)
