"""Dropout masks that belong to the example and not to the batch.

A mask drawn from the process's random stream depends on everything that was drawn before it, so a task's
masks would change with its neighbours. Here each packed sequence brings a key (made from seed, task, the
task's step and row), each layer adds its own, and the mask follows from the two alone: every bit of both counts.

A mask is of zeros and ones. What is kept has to be multiplied by `1 / (1 - p)`, which half precision rounds: it would
be off by up to 0.2 %, for every value alike. So it stays a Python number (`kept_scale`), by which PyTorch multiplies in
fp32 or wider.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from hf_mtl.adapters.routing import RoutedPass
from hf_mtl.errors import RoutingError

__all__ = ["kept_scale", "keyed_mask", "layer_key"]

# Rows of a padded batch are as wide as their longest neighbour. What CUDA draws depends on how many numbers are
# drawn at once, so rows are drawn in blocks of this many tokens.
_BLOCK = 16

_ALL_BITS = 2**64 - 1  # of a sequence's key, and of a seed
_ODD = 0x9E37_79B9_7F4A_7C15  # spreads a layer's 32 bits over 64


def layer_key(path: str) -> int:
    """A 32-bit number for a layer, the same in every process."""
    return zlib.crc32(path.encode())


def kept_scale(p: float) -> float:
    """What a kept feature is multiplied by; 0 where none is kept."""
    return 1 / (1 - p) if p < 1 else 0.0


def keyed_mask(routed: RoutedPass, start: int, stop: int, like: Tensor, *, p: float, key: int) -> Tensor:
    """The dropout mask of the tokens `start:stop`.

    Args:
        routed: The pass as the layer sees it; its `lengths` and `dropout_keys` say whose tokens these are.
        start: First token.
        stop: End of the tokens; both fall on borders between sequences.
        like: A tensor `[..., D_in]` whose last dimension, dtype and device the result takes.
        p: The probability of dropping an input feature.
        key: The layer's key.

    Returns:
        `[stop - start, D_in]`: 0 with probability `p`, else 1.

    Raises:
        RoutingError: If the pass carries no keys.
    """
    if len(routed.dropout_keys) != len(routed.lengths) or not routed.lengths:
        raise RoutingError(
            "An adapter with dropout is trained, but the pass in flight carries no dropout keys."
        )
    mask = torch.empty(stop - start, like.shape[-1], dtype=like.dtype, device=like.device)
    at = 0
    for length, sequence_key in zip(routed.lengths, routed.dropout_keys, strict=True):
        if start <= at < stop:
            tokens = mask[at - start : at - start + length]
            seed = (sequence_key ^ (key * _ODD)) & _ALL_BITS
            if mask.device.type == "cpu":
                _draw_on_cpu(tokens, 1 - p, seed)
            else:
                _draw(tokens, 1 - p, seed, in_blocks=routed.rows > 0)
        at += length
    return mask


def _draw_on_cpu(tokens_LI: Tensor, keep: float, seed: int) -> None:
    """Fill `[L, D_in]` with ones, each kept with the probability `keep`, and zeros.

    By numpy and not by a torch.Generator, which on a CPU takes 32 bits of its seed and several times as long. The
    numbers are drawn one after the other, so a row's first tokens have the same masks however many follow.
    """
    count = tokens_LI.numel()
    drawn = np.random.SFC64(seed).random_raw((count + 1) // 2).view(np.uint32)[:count]
    kept = drawn < np.uint32(min(round(keep * 2**32), 2**32 - 1))
    tokens_LI.copy_(torch.from_numpy(kept).view(tokens_LI.shape))


def _draw(tokens_LI: Tensor, keep: float, seed: int, *, in_blocks: bool) -> None:
    """As `_draw_on_cpu`, on another device."""
    generator = torch.Generator(device=tokens_LI.device)
    generator.manual_seed(seed)
    if not in_blocks:
        tokens_LI.bernoulli_(keep, generator=generator)
        return
    for part in tokens_LI.split(_BLOCK):
        whole = part.new_empty(_BLOCK, part.shape[1]).bernoulli_(keep, generator=generator)
        part.copy_(whole[: len(part)])
