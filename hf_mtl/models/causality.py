"""Whether a base is causal, found out by what it does: its class and its configuration may say anything.

`AutoModelForCausalLM` opens an XLM-R or a BERT too, which then sees the tokens that it is asked to predict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hf_mtl.adapters import RoutedPass, install
from hf_mtl.data import IGNORED, PackedBatch, chunk_per_route, pack
from hf_mtl.data import Sequence as TokenSequence
from hf_mtl.models.architectures import Architecture, positions_of
from hf_mtl.models.plain_tokens import plain_tokens
from hf_mtl.models.quantisation import quantisation_note

__all__ = ["is_causal"]

_LENGTH, _SAME = 16, 4  # tokens of the two inputs, and how many at their beginning are the same
_TOLERANCE = (
    1e-3  # passes of one shape round alike in any dtype, so that a causal base changes nothing at all
)
_COARSE_TOLERANCE = 0.05  # int8 products round a token by what else is in the batch


def is_causal(
    base: PreTrainedModel, architecture: Architecture, *, packed: Callable[[PackedBatch], Tensor]
) -> bool:
    """Whether what a base gives at a token does not depend on the tokens behind it.

    Two inputs that differ in their last tokens only must have the same logits before those, up to rounding, which is
    small against the difference that the tokens make at their own places. Of an encoder-decoder the decoder is asked.

    Args:
        base: The base, with a vocabulary head.
        architecture: Its row of the table.
        packed: From a packed batch to its logits `[N, V]`; where the base is packed, that pass is asked too.
    """
    length = min(_LENGTH, positions_of(base.config.to_dict(), architecture) or _LENGTH)
    same = min(_SAME, length - 1)
    one, other = _inputs(base, length, same)
    tolerance = _tolerance(base)
    was_training = base.training
    base.eval()
    try:
        with torch.no_grad():
            found = [(_logits(base, one), _logits(base, other), same)]
            if architecture.packed:
                a, b = (packed(_packed([one, ids]).to(base.device)) for ids in (one, other))
                found.append((a, b, length + same))
    finally:
        base.train(was_training)
    return all(_only_behind(a, b, before, tolerance) for a, b, before in found)


def _inputs(base: PreTrainedModel, length: int, same: int) -> tuple[list[int], list[int]]:
    """Two inputs without special tokens that have the same beginning."""
    plain = plain_tokens(base)
    generator = torch.Generator().manual_seed(0)
    draws = torch.randint(len(plain), (length,), generator=generator).tolist()
    one = [plain[i] for i in draws]
    return one, [*one[:same], *(plain[(i + 1 + len(plain) // 2) % len(plain)] for i in draws[same:])]


def _logits(base: PreTrainedModel, ids: list[int]) -> Tensor:
    """Of the bare base, `[S, V]`."""
    tokens = torch.tensor([ids], device=base.device)
    inputs = {"input_ids": tokens}
    if base.config.is_encoder_decoder:
        inputs = {"input_ids": tokens[:, :1], "decoder_input_ids": tokens}
    with install(RoutedPass()):
        logits: Tensor = base(**inputs).logits[0]
    return logits


def _packed(sequences: list[list[int]]) -> PackedBatch:
    """A stream through the bare base, with all its logits asked for."""
    rows = [
        TokenSequence("", ids, list(range(len(ids))), [IGNORED] * len(ids), row=i)
        for i, ids in enumerate(sequences)
    ]
    return replace(pack(chunk_per_route(rows)), segments=(), label_segments=())


def _only_behind(one: Tensor, other: Tensor, before: int, tolerance: float) -> bool:
    """Whether the logits differ from a place on only."""
    change = (one.double() - other.double()).abs().amax(dim=-1)
    return not float(change[:before].max()) > tolerance * float(change[before:].max())


def _tolerance(base: PreTrainedModel) -> float:
    note = quantisation_note(base)
    return _TOLERANCE if note is None or "4 bits" in note else _COARSE_TOLERANCE
