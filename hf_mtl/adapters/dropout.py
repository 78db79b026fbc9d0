"""Dropout masks that belong to the example and not to the batch.

A mask drawn from the process's random stream depends on everything that was drawn before it, so a task's
masks would change with its neighbours. Here each packed sequence brings a key (made from seed, task, the
task's step and row), each layer adds its own, and the mask follows from the two alone.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from hf_mtl.adapters.routing import RoutedPass
from hf_mtl.errors import RoutingError

__all__ = ["keyed_multiplier", "layer_key"]

# Rows of a padded batch are as wide as their longest neighbour. What CUDA draws depends on how many numbers are
# drawn at once, so rows are drawn in blocks of this many tokens.
_BLOCK = 16


def layer_key(path: str) -> int:
    """A 32-bit number for a layer, the same in every process."""
    return zlib.crc32(path.encode())


def keyed_multiplier(
    routed: RoutedPass, start: int, stop: int, like: Tensor, *, p: float, key: int
) -> Tensor:
    """The dropout multiplier of the tokens `start:stop`.

    Args:
        routed: The pass as the layer sees it; its `lengths` and `dropout_keys` say whose tokens these are.
        start: First token.
        stop: End of the tokens; both fall on borders between sequences.
        like: A tensor `[..., D_in]` whose last dimension, dtype and device the result takes.
        p: The probability of dropping an input feature.
        key: The layer's key.

    Returns:
        `[stop - start, D_in]`: 0 with probability `p`, else `1 / (1 - p)`.

    Raises:
        RoutingError: If the pass carries no keys.
    """
    if len(routed.dropout_keys) != len(routed.lengths) or not routed.lengths:
        raise RoutingError(
            "An adapter with dropout is trained, but the pass in flight carries no dropout keys."
        )
    multiplier = torch.empty(stop - start, like.shape[-1], dtype=like.dtype, device=like.device)
    generator = torch.Generator(device=like.device)
    at = 0
    for length, sequence_key in zip(routed.lengths, routed.dropout_keys, strict=True):
        if start <= at < stop:
            generator.manual_seed((sequence_key ^ (key * 0x9E3779B97F4A7C15)) & 0x7FFF_FFFF_FFFF_FFFF)
            _draw(multiplier[at - start : at - start + length], 1 - p, generator, in_blocks=routed.rows > 0)
        at += length
    return multiplier.mul_(1 / (1 - p))


def _draw(tokens_LI: Tensor, keep: float, generator: torch.Generator, *, in_blocks: bool) -> None:
    """Fill `[L, D_in]` with ones, each kept with the probability `keep`, and zeros."""
    if not in_blocks:
        tokens_LI.bernoulli_(keep, generator=generator)
        return
    for part in tokens_LI.split(_BLOCK):
        whole = part.new_empty(_BLOCK, part.shape[1]).bernoulli_(keep, generator=generator)
        part.copy_(whole[: len(part)])
