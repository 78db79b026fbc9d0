"""The rows that a base is probed with: of the lengths of a run's own rows, their tokens drawn at random."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from hf_mtl.data import (
    IGNORED,
    Chunk,
    EncoderDecoderSequence,
    ImageSequence,
    PackedBatch,
    PaddedBatch,
    Sequence,
)
from hf_mtl.models.plain_tokens import plain_tokens
from hf_mtl.models.routed_model import RoutedModel

__all__ = ["Extent", "batch_of", "longest_of", "outputs_by_row", "probe_rows"]

# Enough of one token for the capacity of an expert (64 by default where there is one), and no more: every token costs.
_SHORT, _LONG, _OTHERS = 8, 72, 8


@dataclass(frozen=True)
class Extent:
    """What the rows of a run are like.

    Args:
        shortest: The tokens of the shortest row.
        longest: The tokens of the longest row; None if it is not known, as in a stream.
    """

    shortest: int = 1
    longest: int | None = None


def probe_rows(base: PreTrainedModel, extent: Extent) -> tuple[Sequence, Sequence]:
    """A short row, and a longer one of another task that stands before it in a batch.

    The second half of the short row is one token, of which the long row is full: so that an expert that takes a certain
    number of tokens has no room left.
    """
    if base.main_input_name == "pixel_values":
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn(2, *_image_shape(base), generator=generator).to(base.dtype)
        return _image("b", pixels[0]), _image("a", pixels[1])
    limit = longest_of(base, extent)
    long = max(2, min(_LONG, limit))
    short = max(1, min(_SHORT, extent.shortest, long - 1))
    one, other = _drawn(base, short), _drawn(base, _OTHERS, seed=1)
    kept = (short + 1) // 2
    one = [*one[:kept], *one[:1] * (short - kept)]
    return _text(base, "b", one), _text(base, "a", [*other, *one[:1] * _LONG][:long])


def longest_of(base: PreTrainedModel, extent: Extent) -> int:
    """The tokens of the longest row, as far as it is known: else as many as the base has positions for."""
    if extent.longest is not None:
        return extent.longest
    names = ("max_position_embeddings", "n_positions", "max_source_positions", "max_target_positions")
    values: Mapping[str, object] = base.config.get_text_config().to_dict()
    found = [n for name in names if isinstance(n := values.get(name), int) and n > 0]
    # Some positions may lie before the first token's (RoBERTa's), but hardly half of them.
    return min(found) // 2 if found and min(found) < 2 * _LONG else min(found, default=_LONG)


def _image_shape(base: PreTrainedModel) -> tuple[int, int, int]:
    """Channels, height and width of the images that a base was made for."""
    values: Mapping[str, Any] = base.config.to_dict()  # Any: what a configuration holds
    size = values.get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size
    return values.get("num_channels", 3), height, width


def _drawn(base: PreTrainedModel, length: int, *, seed: int = 0) -> list[int]:
    plain = plain_tokens(base)
    generator = torch.Generator().manual_seed(seed)
    return [plain[i] for i in torch.randint(len(plain), (length,), generator=generator).tolist()]


def _image(route: str, pixels: Tensor) -> ImageSequence:
    return ImageSequence(route, [], [0], [IGNORED], row=0, pixel_values=pixels)


def _text(base: PreTrainedModel, route: str, ids: list[int]) -> Sequence:
    every, labels = list(range(len(ids))), [IGNORED] * len(ids)
    if base.config.is_encoder_decoder:
        return EncoderDecoderSequence(route, ids, every, labels, row=0, decoder_input_ids=ids)
    return Sequence(route, ids, every, labels, row=0)


def batch_of(model: RoutedModel, rows: Iterable[Sequence]) -> PackedBatch | PaddedBatch:
    """The rows in one batch, through the bare base."""
    batch = model.layout.lay_out([Chunk(row.route, [row]) for row in rows])
    return replace(batch, segments=(), label_segments=()).to(model.device)


def outputs_by_row(model: RoutedModel, batch: PackedBatch | PaddedBatch) -> dict[str, Tensor]:
    """What the base gives in one pass, by route and without padding, in float32 or wider."""
    output = model(batch)
    parts: Iterable[Tensor]
    if model.base.get_output_embeddings() is not None:
        parts = output.split(batch.label_counts)
    elif isinstance(batch, PackedBatch):
        parts = output.split(batch.lengths)
    else:
        images = "pixel_values" in batch.inputs
        counts = batch.label_counts
        parts = [row if images else row[:count] for row, count in zip(output, counts, strict=True)]
    return {
        route: part.to(torch.promote_types(part.dtype, torch.float32))
        for (route, _), part in zip(batch.rows, parts, strict=True)
    }
