"""Many sequences of many routes as one stream of tokens, without padding.

A packed batch is sorted by route, so that each route's tokens are one contiguous segment. A task's batch is
first cut into *chunks* by a rule that sees that task alone; micro-batches hold whole chunks, so that
neighbours and the token budget never change which of a task's tokens are computed together.

    >>> sequences = [Sequence("b", [1, 2, 3], [1], [3], row=0), Sequence("a", [4, 5], [0], [5], row=1)]
    >>> batch = pack([Chunk("b", sequences[:1]), Chunk("a", sequences[1:])])
    >>> batch.input_ids.tolist(), batch.position_ids.tolist()
    ([4, 5, 1, 2, 3], [0, 1, 0, 1, 2])
    >>> batch.segments
    (Segment(route='a', start=0, stop=2), Segment(route='b', start=2, stop=5))
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from hf_mtl.data.encoding import IGNORED

__all__ = [
    "Chunk",
    "PackedBatch",
    "Segment",
    "Sequence",
    "consecutive_segments",
    "cut_into_chunks",
    "fill_micro_batches",
    "pack",
]


@dataclass(frozen=True, slots=True)
class Sequence:
    """One example of one route.

    Args:
        route: Whose adapters and head it uses.
        input_ids: Token ids `[S]`.
        label_positions: The tokens whose output is used, ascending; `[N]` indices into `input_ids`.
        label_ids: What is to be predicted there, `[N]`.
        row: The row's number in its task's data set.
        dropout_key: Names the row's random stream where an adapter with dropout is trained.
        virtual: The virtual tokens that its route puts before it; they count where room is measured.
    """

    route: str
    input_ids: list[int]
    label_positions: list[int]
    label_ids: list[int]
    row: int
    dropout_key: int = 0
    virtual: int = 0

    @classmethod
    def next_token(
        cls, route: str, input_ids: list[int], labels: list[int], row: int, dropout_key: int = 0
    ) -> Sequence:
        """A sequence whose labels are those of its own tokens: token `i` is predicted from the output at `i - 1`."""
        learned = [i for i in range(1, len(labels)) if labels[i] != IGNORED]
        return cls(route, input_ids, [i - 1 for i in learned], [labels[i] for i in learned], row, dropout_key)

    @property
    def tokens(self) -> int:
        """Its tokens, the virtual ones included."""
        return self.virtual + len(self.input_ids)


class Segment(NamedTuple):
    """`start:stop` of a stream belong to `route`."""

    route: str
    start: int
    stop: int


class Chunk(NamedTuple):
    """Sequences of one route that are always computed together."""

    route: str
    sequences: list[Sequence]

    @property
    def tokens(self) -> int:
        """The chunk's length in tokens, the virtual ones included."""
        return sum(sequence.tokens for sequence in self.sequences)


class _HasTokens(Protocol):
    @property
    def tokens(self) -> int: ...


Measured = TypeVar("Measured", bound=_HasTokens)


@dataclass(frozen=True)
class PackedBatch:
    """A micro-batch as one token stream of length `T` with `N` labels.

    Args:
        input_ids: `[T]`.
        position_ids: `[T]`, counted from 0 in each sequence.
        label_positions: `[N]` indices into the stream where a prediction is made.
        label_ids: `[N]` what is to be predicted there.
        lengths: Each sequence's length, in stream order; they sum to `T`.
        segments: One per chunk: whose tokens these are.
        label_segments: One per chunk: whose labels these are.
        label_counts: Each sequence's number of labels, in stream order.
        rows: Each sequence's route and row number, in stream order.
        dropout_keys: Each sequence's dropout key, in stream order.
    """

    input_ids: Tensor
    position_ids: Tensor
    label_positions: Tensor
    label_ids: Tensor
    lengths: tuple[int, ...]
    segments: tuple[Segment, ...]
    label_segments: tuple[Segment, ...]
    label_counts: tuple[int, ...]
    rows: tuple[tuple[str, int], ...]
    dropout_keys: tuple[int, ...]

    @property
    def tokens(self) -> int:
        """The stream's length; no token of it is padding."""
        return sum(self.lengths)

    def to(self, device: torch.device) -> PackedBatch:
        """Return the same batch with its tensors on `device`."""
        return replace(
            self,
            input_ids=self.input_ids.to(device, non_blocking=True),
            position_ids=self.position_ids.to(device, non_blocking=True),
            label_positions=self.label_positions.to(device, non_blocking=True),
            label_ids=self.label_ids.to(device, non_blocking=True),
        )


def cut_into_chunks(sequences: Iterable[Sequence], max_tokens: int) -> list[Chunk]:
    """Cut one route's sequences, in their order, into chunks of at most `max_tokens` tokens.

    A sequence that is longer than `max_tokens` is a chunk of its own.
    """
    chunks: list[Chunk] = []
    room = 0
    for sequence in sequences:
        if not chunks or sequence.tokens > room:
            chunks.append(Chunk(sequence.route, []))
            room = max_tokens
        chunks[-1].sequences.append(sequence)
        room -= sequence.tokens
    return chunks


def fill_micro_batches(items: Iterable[Measured], token_budget: int) -> list[list[Measured]]:
    """Put whole chunks (or whatever else has `tokens`) into micro-batches of at most `token_budget` tokens, in order.

    One that is longer than the budget goes alone.
    """
    batches: list[list[Measured]] = []
    room = 0
    for item in items:
        if not batches or item.tokens > room:
            batches.append([])
            room = token_budget
        batches[-1].append(item)
        room -= item.tokens
    return batches


def pack(chunks: Iterable[Chunk]) -> PackedBatch:
    """Lay chunks out as one stream, sorted by route; chunks of one route keep their order."""
    ordered = sorted(chunks, key=lambda chunk: chunk.route)
    sequences = [sequence for chunk in ordered for sequence in chunk.sequences]
    label_positions: list[int] = []
    start = 0
    for sequence in sequences:
        label_positions += [start + position for position in sequence.label_positions]
        start += len(sequence.input_ids)
    return PackedBatch(
        input_ids=torch.tensor([token for sequence in sequences for token in sequence.input_ids]),
        position_ids=torch.cat([torch.arange(len(sequence.input_ids)) for sequence in sequences]),
        label_positions=torch.tensor(label_positions),
        label_ids=torch.tensor([label for sequence in sequences for label in sequence.label_ids]),
        lengths=tuple(len(sequence.input_ids) for sequence in sequences),
        segments=consecutive_segments(
            (chunk.route, sum(len(sequence.input_ids) for sequence in chunk.sequences)) for chunk in ordered
        ),
        label_segments=consecutive_segments(
            (chunk.route, sum(len(sequence.label_ids) for sequence in chunk.sequences)) for chunk in ordered
        ),
        label_counts=tuple(len(sequence.label_ids) for sequence in sequences),
        rows=tuple((sequence.route, sequence.row) for sequence in sequences),
        dropout_keys=tuple(sequence.dropout_key for sequence in sequences),
    )


def consecutive_segments(sizes: Iterable[tuple[str, int]]) -> tuple[Segment, ...]:
    """Segments one behind the other, from pairs of a route and a length."""
    segments = []
    start = 0
    for route, size in sizes:
        segments.append(Segment(route, start, start + size))
        start += size
    return tuple(segments)
