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

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from hf_mtl.data.examples import IGNORED
from hf_mtl.head_shapes import HeadShape

__all__ = [
    "Chunk",
    "PackedBatch",
    "RoutePart",
    "Segment",
    "Sequence",
    "consecutive_segments",
    "cut_into_chunks",
    "fill_micro_batches",
    "pack",
    "route_parts",
    "stream_without_labels_of",
]


@dataclass(frozen=True, slots=True)
class Sequence:
    """One example of one route.

    Args:
        route: Whose adapters and head it uses.
        input_ids: Token ids `[S]`.
        label_positions: The tokens whose output is used, ascending; `[N]` indices into `input_ids`.
        label_ids: What is to be predicted there, `[N]`; `IGNORED` where `targets` say it.
        row: The row's number in its task's data set.
        dropout_key: Names the row's random stream where an adapter with dropout is trained.
        virtual: The virtual tokens that its route puts before it; they count where room is measured.
        head: The shape of the head of its own that its route has; None for the vocabulary head.
        token_types: The token types `[S]` of a text pair; empty if all are 0.
        targets: What is to be predicted for the sequence as a whole: values, or the borders of a span.
        weight: What it counts for in its task's mean loss; None for its number of labels.
    """

    route: str
    input_ids: list[int]
    label_positions: list[int]
    label_ids: list[int]
    row: int
    dropout_key: int = 0
    virtual: int = 0
    head: HeadShape | None = None
    token_types: list[int] = field(default_factory=list)
    targets: tuple[float, ...] = ()
    weight: float | None = None

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

    @property
    def share(self) -> float:
        """What it counts for in its task's mean loss."""
        return len(self.label_ids) if self.weight is None else self.weight


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
        targets: Each sequence's targets, in stream order.
        token_type_ids: `[T]`; None if all are 0.
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
    targets: tuple[tuple[float, ...], ...] = ()
    token_type_ids: Tensor | None = None

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
            token_type_ids=None
            if self.token_type_ids is None
            else self.token_type_ids.to(device, non_blocking=True),
        )


class RoutePart(NamedTuple):
    """The part of a batch that belongs to one route.

    Args:
        rows: Its sequences, among the batch's.
        labels: Its labels, among the batch's.
    """

    rows: slice
    labels: slice


def route_parts(rows: Iterable[tuple[str, int]], label_counts: Iterable[int]) -> dict[str, RoutePart]:
    """Where each route's sequences and labels lie in a batch, which is sorted by route.

    >>> route_parts([("a", 4), ("a", 7), ("b", 0)], [1, 2, 5])["b"]
    RoutePart(rows=slice(2, 3, None), labels=slice(3, 8, None))
    """
    parts: dict[str, RoutePart] = {}
    label = 0
    for i, ((route, _), count) in enumerate(zip(rows, label_counts, strict=True)):
        own = parts.get(route, RoutePart(slice(i, i), slice(label, label)))
        label += count
        parts[route] = RoutePart(slice(own.rows.start, i + 1), slice(own.labels.start, label))
    return parts


def stream_without_labels_of(batch: PackedBatch, routes: Collection[str]) -> PackedBatch:
    """The same batch as if the sequences of `routes` had no labels."""
    if not routes:
        return batch
    kept = [i for s in batch.label_segments if s.route not in routes for i in range(s.start, s.stop)]
    index = torch.tensor(kept, dtype=torch.long, device=batch.label_positions.device)
    counts = [
        0 if route in routes else count
        for (route, _), count in zip(batch.rows, batch.label_counts, strict=True)
    ]
    return replace(
        batch,
        label_positions=batch.label_positions[index],
        label_ids=batch.label_ids[index],
        label_segments=segments_without(batch.label_segments, routes),
        label_counts=tuple(counts),
    )


def segments_without(segments: Iterable[Segment], routes: Collection[str]) -> tuple[Segment, ...]:
    """Segments one behind the other, as if those of `routes` were empty."""
    return consecutive_segments((s.route, 0 if s.route in routes else s.stop - s.start) for s in segments)


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
        label_positions=torch.tensor(label_positions, dtype=torch.long),
        label_ids=torch.tensor([n for sequence in sequences for n in sequence.label_ids], dtype=torch.long),
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
        targets=tuple(sequence.targets for sequence in sequences),
        token_type_ids=_token_types(sequences),
    )


def _token_types(sequences: Iterable[Sequence]) -> Tensor | None:
    sequences = list(sequences)
    if not any(sequence.token_types for sequence in sequences):
        return None
    return torch.tensor([t for s in sequences for t in s.token_types or [0] * len(s.input_ids)])


def consecutive_segments(sizes: Iterable[tuple[str, int]]) -> tuple[Segment, ...]:
    """Segments one behind the other, from pairs of a route and a length."""
    segments = []
    start = 0
    for route, size in sizes:
        segments.append(Segment(route, start, start + size))
        start += size
    return tuple(segments)
