"""How a base takes its batches: as one packed stream, or as padded rows.

A layout has three steps, and each of them is the same rule for all who use it: a task's sequences are cut into
chunks, chunks are put into micro-batches, and a micro-batch is laid out as tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import final

from hf_mtl.data.packing import (
    Chunk,
    PackedBatch,
    Sequence,
    cut_into_chunks,
    fill_micro_batches,
    pack,
    stream_without_labels_of,
)
from hf_mtl.data.padding import (
    PaddedBatch,
    cut_into_similar_chunks,
    fill_padded_batches,
    pad,
    rows_without_labels_of,
)
from hf_mtl.data.sequences import EncoderDecoderSequence

__all__ = ["Layout", "PackedLayout", "PaddedLayout", "chunk_per_route", "without_labels_of"]


class Layout(ABC):
    """Abstract: from sequences to the batches that a base takes."""

    @abstractmethod
    def cut(self, sequences: Iterable[Sequence], max_tokens: int) -> list[Chunk]:
        """Cut one route's sequences into chunks of at most `max_tokens` tokens."""

    @abstractmethod
    def fill(self, chunks: Iterable[Chunk], token_budget: int) -> list[list[Chunk]]:
        """Put whole chunks into micro-batches of at most `token_budget` tokens."""

    @abstractmethod
    def lay_out(self, chunks: Iterable[Chunk]) -> PackedBatch | PaddedBatch:
        """The tensors of one micro-batch; chunks are sorted by route, their sequences keep their order."""


@final
@dataclass(frozen=True)
class PackedLayout(Layout):
    """One token stream without padding."""

    def cut(self, sequences: Iterable[Sequence], max_tokens: int) -> list[Chunk]:
        """Cut in the sequences' order."""
        return cut_into_chunks(sequences, max_tokens)

    def fill(self, chunks: Iterable[Chunk], token_budget: int) -> list[list[Chunk]]:
        """Fill in the chunks' order."""
        return fill_micro_batches(chunks, token_budget)

    def lay_out(self, chunks: Iterable[Chunk]) -> PackedBatch:
        """See `pack`."""
        return pack(chunks)


@final
@dataclass(frozen=True)
class PaddedLayout(Layout):
    """Rows of similar lengths, padded on the right.

    Args:
        pad_id: The token that fills rows up.
        decoder_start_id: For an encoder-decoder: the token that its decoder starts with. A prompt and its
            completion are then split between encoder and decoder; other bases read them in one row.
        end_id: For an encoder-decoder: the token that ends the encoder's text.
    """

    pad_id: int = 0
    decoder_start_id: int | None = None
    end_id: int | None = None

    def cut(self, sequences: Iterable[Sequence], max_tokens: int) -> list[Chunk]:
        """Cut by length, shortest first."""
        return cut_into_similar_chunks(map(self._split, sequences), max_tokens)

    def fill(self, chunks: Iterable[Chunk], token_budget: int) -> list[list[Chunk]]:
        """Fill by length, shortest first."""
        return fill_padded_batches(chunks, token_budget)

    def lay_out(self, chunks: Iterable[Chunk]) -> PaddedBatch:
        """See `pad`."""
        split = [Chunk(chunk.route, [self._split(s) for s in chunk.sequences]) for chunk in chunks]
        return pad(split, pad_id=self.pad_id)

    def _split(self, sequence: Sequence) -> Sequence:
        if self.decoder_start_id is None or type(sequence) is not Sequence:
            return sequence
        return EncoderDecoderSequence.split(sequence, start_id=self.decoder_start_id, end_id=self.end_id)


def chunk_per_route(sequences: Iterable[Sequence]) -> list[Chunk]:
    """The sequences with one chunk for each route, so that its adapters act on one segment."""
    by_route: dict[str, Chunk] = {}
    for sequence in sequences:
        by_route.setdefault(sequence.route, Chunk(sequence.route, [])).sequences.append(sequence)
    return list(by_route.values())


def without_labels_of(batch: PackedBatch | PaddedBatch, routes: Collection[str]) -> PackedBatch | PaddedBatch:
    """The same batch as if the sequences of `routes` had no labels."""
    if isinstance(batch, PackedBatch):
        return stream_without_labels_of(batch, routes)
    return rows_without_labels_of(batch, routes)
