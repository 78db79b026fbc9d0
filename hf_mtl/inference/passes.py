"""Queries that heads answer, in mixed batches under a token budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hf_mtl.data import Chunk, ImageSequence, PackedBatch, PaddedBatch, route_parts
from hf_mtl.data import Sequence as TokenSequence
from hf_mtl.inference.queries import Asked
from hf_mtl.models import RoutedModel
from hf_mtl.tasks import Found

__all__ = ["run_heads"]

_PATCH = 16 * 16  # pixels that count as a token, where the images of one pass are counted


@torch.no_grad()
def run_heads(
    model: RoutedModel, queries: Sequence[Asked], token_budget: int
) -> Iterator[tuple[Asked, Found]]:
    """Run the sequences of all queries, those of all tasks together.

    Args:
        model: The routed model, in evaluation mode.
        queries: The queries, each with at least one sequence.
        token_budget: Most tokens of a pass; a longer sequence goes alone.

    Yields:
        Each query with what was found for it, as soon as all its sequences have been run.
    """
    asked = {own.number: (own, own.sequences()) for own in queries}
    # The sequences are told apart by numbers of their own: a query may have several.
    flat = [(number, sequence) for number, (_, sequences) in asked.items() for sequence in sequences]
    chunks = [
        chunk
        for place, (_, sequence) in enumerate(flat)
        for chunk in model.layout.cut([replace(sequence, row=place)], 0)
    ]
    found: dict[int, dict[int, Tensor]] = defaultdict(dict)
    for group in model.layout.fill(chunks, _room(token_budget, [sequence for _, sequence in flat])):
        batch = model.layout.lay_out(_by_route(group)).to(model.device)
        for place, logits in _by_row(model.by_route(batch), batch).items():
            number = flat[place][0]
            query, sequences = asked[number]
            found[number][place] = logits
            if len(found[number]) == len(sequences):
                ordered = [logits for _, logits in sorted(found.pop(number).items())]
                yield query, Found(tuple(sequences), tuple(ordered))


def _room(token_budget: int, sequences: Sequence[TokenSequence]) -> int:
    """The budget as the layout counts it: an image is one token to it."""
    first = sequences[0] if sequences else None
    if not isinstance(first, ImageSequence):
        return token_budget
    patches = max(1, first.pixel_values[0].numel() // _PATCH)
    return max(1, token_budget // patches)


def _by_route(group: Sequence[Chunk]) -> list[Chunk]:
    """One chunk per route, so that its adapters act on one segment."""
    merged: dict[str, Chunk] = {}
    for chunk in group:
        merged.setdefault(chunk.route, Chunk(chunk.route, [])).sequences.extend(chunk.sequences)
    return list(merged.values())


def _by_row(logits: dict[str, Tensor], batch: PackedBatch | PaddedBatch) -> dict[int, Tensor]:
    """The logits of each sequence, on the CPU, by its row's number."""
    found: dict[int, Tensor] = {}
    for route, part in route_parts(batch.rows, batch.label_counts).items():
        counts = batch.label_counts[part.rows]
        own = logits[route].cpu()
        # A head on sequences gives one row of logits for each, however many places it reads.
        sizes = list(counts) if len(own) == sum(counts) else [1] * len(counts)
        numbers = [number for _, number in batch.rows[part.rows]]
        found |= dict(zip(numbers, own.split(sizes), strict=True))
    return found
