"""Many sequences of many routes as rows of one padded batch, for models that cannot take a packed stream.

Rows are sorted by route, so that each route owns consecutive rows and, in whatever layer, the consecutive
tokens of these rows. A task's batch is first cut into chunks of similar lengths, by a rule that sees that task
alone, and chunks of similar lengths share a micro-batch: padding is at most a fifth of what is computed.

    >>> rows = [EncoderDecoderSequence("b", [1, 2], [0], [3], row=0, decoder_input_ids=[9]),
    ...         EncoderDecoderSequence("a", [4, 5, 6], [0, 1], [7, 8], row=1, decoder_input_ids=[9, 7])]
    >>> batch = pad([Chunk("b", rows[:1]), Chunk("a", rows[1:])], pad_id=0)
    >>> batch.inputs["input_ids"].tolist(), batch.inputs["decoder_input_ids"].tolist()
    ([[4, 5, 6], [1, 2, 0]], [[9, 7], [9, 0]])
    >>> batch.segments
    (Segment(route='a', start=0, stop=1), Segment(route='b', start=1, stop=2))
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hf_mtl.data.packing import Chunk, Segment, Sequence, consecutive_segments, segments_without
from hf_mtl.data.sequences import EncoderDecoderSequence, ImageSequence
from hf_mtl.errors import DataError
from hf_mtl.head_shapes import HeadShape

__all__ = [
    "PaddedBatch",
    "cut_into_similar_chunks",
    "fill_padded_batches",
    "pad",
    "padded_tokens",
    "real_tokens",
    "rows_without_labels_of",
]

# Computed tokens per real token at most: what shares a pass may differ in length only so much.
_MOST_COMPUTED = 1.25


@dataclass(frozen=True)
class PaddedBatch:
    """A micro-batch of `B` rows, padded on the right, with `N` labels.

    Args:
        inputs: What the base is called with, by the names of its arguments; every tensor is `[B, ...]`.
        label_mask: `[B, S]`, True where a prediction is made; in the decoder's tokens if there is a decoder. An image
            has one such place, its first token.
        label_ids: `[N]` what is to be predicted there, row after row.
        segments: One per chunk: whose rows these are.
        label_segments: One per chunk: whose labels these are.
        label_counts: Each row's number of labels.
        rows: Each row's route and its number in the data set.
        dropout_keys: Each row's dropout key.
        widths: The streams' widths: the encoder's or only one, then the decoder's; none for images.
        real_tokens: Tokens that are not padding.
        targets: Each row's targets.
        encoder_mask: `[B, S_enc]`, True where an encoder-decoder's heads on tokens predict; None for other bases.
    """

    inputs: Mapping[str, Tensor]
    label_mask: Tensor
    label_ids: Tensor
    segments: tuple[Segment, ...]
    label_segments: tuple[Segment, ...]
    label_counts: tuple[int, ...]
    rows: tuple[tuple[str, int], ...]
    dropout_keys: tuple[int, ...]
    widths: tuple[int, ...]
    real_tokens: int
    targets: tuple[tuple[float, ...], ...] = ()
    encoder_mask: Tensor | None = None

    @property
    def tokens(self) -> int:
        """The tokens that are computed, padding and the decoder's included."""
        return len(self.rows) * sum(self.widths)

    def to(self, device: torch.device) -> PaddedBatch:
        """Return the same batch with its tensors on `device`."""
        return replace(
            self,
            inputs={name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()},
            label_mask=self.label_mask.to(device, non_blocking=True),
            encoder_mask=None
            if self.encoder_mask is None
            else self.encoder_mask.to(device, non_blocking=True),
            label_ids=self.label_ids.to(device, non_blocking=True),
        )


def _streams(sequence: Sequence) -> tuple[int, ...]:
    """The lengths of a sequence's token streams; an image counts as one token, for all images are alike."""
    if isinstance(sequence, EncoderDecoderSequence):
        return len(sequence.input_ids), len(sequence.decoder_input_ids)
    return (max(1, len(sequence.input_ids)),)


def real_tokens(sequences: Iterable[Sequence]) -> int:
    """The tokens of the sequences, the decoder's included."""
    return sum(sum(_streams(sequence)) for sequence in sequences)


def padded_tokens(sequences: Iterable[Sequence]) -> int:
    """The tokens that one padded pass over the sequences computes: rows times the widths of the streams."""
    streams = [_streams(sequence) for sequence in sequences]
    widths: list[int] = [max(lengths) for lengths in zip(*streams, strict=True)]
    return len(streams) * sum(widths)


def _fit(sequences: list[Sequence], most: int) -> bool:
    padded = padded_tokens(sequences)
    return padded <= most and padded <= _MOST_COMPUTED * real_tokens(sequences)


def cut_into_similar_chunks(sequences: Iterable[Sequence], max_tokens: int) -> list[Chunk]:
    """Cut one route's sequences into chunks of similar lengths, shortest first.

    Args:
        sequences: Of one route; rows of one length keep their order.
        max_tokens: Most tokens of a chunk, padding included; a longer sequence is a chunk of its own.
    """
    chunks: list[Chunk] = []
    for sequence in sorted(sequences, key=_streams):
        if not chunks or not _fit([*chunks[-1].sequences, sequence], max_tokens):
            chunks.append(Chunk(sequence.route, []))
        chunks[-1].sequences.append(sequence)
    return chunks


def fill_padded_batches(chunks: Iterable[Chunk], token_budget: int) -> list[list[Chunk]]:
    """Put whole chunks of similar lengths into micro-batches of at most `token_budget` tokens, padding included.

    A route's chunks, which come shortest first, stay in their order.
    """
    batches: list[list[Chunk]] = []
    sequences: list[Sequence] = []
    for chunk in sorted(chunks, key=lambda chunk: max(map(_streams, chunk.sequences))):
        if not batches or not _fit([*sequences, *chunk.sequences], token_budget):
            batches.append([])
            sequences = []
        batches[-1].append(chunk)
        sequences += chunk.sequences
    return batches


def _rows(lists: list[list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Token ids `[B, S]`, padded on the right, and the mask of the real ones."""
    width = max(map(len, lists))
    ids = torch.tensor([row + [pad_id] * (width - len(row)) for row in lists])
    mask = torch.arange(width)[None, :] < torch.tensor([len(row) for row in lists])[:, None]
    return ids, mask


def _inputs(sequences: list[Sequence], pad_id: int) -> dict[str, Tensor]:
    images = [sequence for sequence in sequences if isinstance(sequence, ImageSequence)]
    if images:
        return {"pixel_values": torch.stack([image.pixel_values for image in images])}
    ids, mask = _rows([sequence.input_ids for sequence in sequences], pad_id)
    inputs = {"input_ids": ids, "attention_mask": mask.long()}
    if any(sequence.token_types for sequence in sequences):
        inputs["token_type_ids"], _ = _rows(
            [sequence.token_types or [0] * len(sequence.input_ids) for sequence in sequences], 0
        )
    pairs = [sequence for sequence in sequences if isinstance(sequence, EncoderDecoderSequence)]
    if pairs:
        ids, mask = _rows([pair.decoder_input_ids for pair in pairs], pad_id)
        inputs |= {"decoder_input_ids": ids, "decoder_attention_mask": mask.long()}
    return inputs


def pad(chunks: Iterable[Chunk], *, pad_id: int) -> PaddedBatch:
    """Lay chunks out as rows, sorted by route; chunks of one route keep their order.

    Args:
        chunks: All of one kind of sequence.
        pad_id: What fills the rows up; no result depends on it.

    Raises:
        DataError: If text, text pairs and images are mixed.
    """
    ordered = sorted(chunks, key=lambda chunk: chunk.route)
    sequences = [sequence for chunk in ordered for sequence in chunk.sequences]
    kinds = {type(sequence).__name__ for sequence in sequences}
    if len(kinds) != 1:
        raise DataError(f"A padded batch holds one kind of sequence, found {', '.join(sorted(kinds))}.")
    inputs = _inputs(sequences, pad_id)
    widths = tuple(inputs[name].shape[1] for name in ("input_ids", "decoder_input_ids") if name in inputs)
    on_encoder = [sequence if _is_on_encoder(sequence) else None for sequence in sequences]
    others = [None if _is_on_encoder(sequence) else sequence for sequence in sequences]
    return PaddedBatch(
        inputs=inputs,
        label_mask=_mask(others, widths[-1] if widths else 1),
        encoder_mask=_mask(on_encoder, widths[0]) if len(widths) > 1 else None,
        label_ids=torch.tensor([n for sequence in sequences for n in sequence.label_ids], dtype=torch.long),
        segments=consecutive_segments((chunk.route, len(chunk.sequences)) for chunk in ordered),
        label_segments=consecutive_segments(
            (chunk.route, sum(len(sequence.label_ids) for sequence in chunk.sequences)) for chunk in ordered
        ),
        label_counts=tuple(len(sequence.label_ids) for sequence in sequences),
        rows=tuple((sequence.route, sequence.row) for sequence in sequences),
        dropout_keys=tuple(sequence.dropout_key for sequence in sequences),
        widths=widths,
        real_tokens=real_tokens(sequences),
        targets=tuple(sequence.targets for sequence in sequences),
    )


def rows_without_labels_of(batch: PaddedBatch, routes: Collection[str]) -> PaddedBatch:
    """The same batch as if the rows of `routes` had no labels."""
    if not routes:
        return batch
    device = batch.label_mask.device
    kept_rows = torch.tensor([route not in routes for route, _ in batch.rows], device=device)
    counts = torch.tensor(batch.label_counts, device=device)
    return replace(
        batch,
        label_mask=batch.label_mask & kept_rows[:, None],
        label_ids=batch.label_ids[kept_rows.repeat_interleave(counts)],
        label_segments=segments_without(batch.label_segments, routes),
        label_counts=tuple((counts * kept_rows).tolist()),
    )


def _is_on_encoder(sequence: Sequence) -> bool:
    return isinstance(sequence, EncoderDecoderSequence) and sequence.head is HeadShape.TOKEN


def _mask(sequences: list[Sequence | None], width: int) -> Tensor:
    """The places `[B, width]` of the sequences that are not None."""
    mask = torch.zeros(len(sequences), width, dtype=torch.bool)
    for row, sequence in zip(mask, sequences, strict=True):
        row[[] if sequence is None else sequence.label_positions] = True
    return mask
