"""Queries that heads answer, in mixed batches under a token budget."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from hf_mtl.data import ImageSequence, PackedBatch, PaddedBatch, chunk_per_route, route_parts
from hf_mtl.data import Sequence as TokenSequence
from hf_mtl.inference.queries import Asked
from hf_mtl.models import RoutedModel, per_sequence
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
    # The sequences are distinguished by numbers of their own: a query may have several.
    flat = [(number, sequence) for number, (_, sequences) in asked.items() for sequence in sequences]
    chunks = [
        chunk
        for place, (_, sequence) in enumerate(flat)
        for chunk in model.layout.cut([replace(sequence, row=place)], 0)
    ]
    found: dict[int, dict[int, Tensor]] = defaultdict(dict)
    for group in model.layout.fill(chunks, _room(token_budget, [sequence for _, sequence in flat])):
        batch = model.layout.lay_out(chunk_per_route(chain.from_iterable(c.sequences for c in group)))
        for place, own in _logits(model, batch.to(model.device)):
            number = flat[place][0]
            query, sequences = asked[number]
            found[number][place] = own
            if len(found[number]) == len(sequences):
                ordered = [own for _, own in sorted(found.pop(number).items())]
                yield query, Found(tuple(sequences), tuple(ordered))


def _logits(model: RoutedModel, batch: PackedBatch | PaddedBatch) -> Iterator[tuple[int, Tensor]]:
    """The number of each row of a batch, and its logits, on the CPU."""
    logits = model.by_route(batch)
    for route, part in route_parts(batch.rows, batch.label_counts).items():
        each = per_sequence(logits[route].cpu(), batch.label_counts[part.rows])
        yield from zip((row for _, row in batch.rows[part.rows]), each, strict=True)


def _room(token_budget: int, sequences: Sequence[TokenSequence]) -> int:
    """The budget as the layout counts it: an image is one token to it."""
    first = sequences[0] if sequences else None
    if not isinstance(first, ImageSequence):
        return token_budget
    patches = max(1, first.pixel_values[0].numel() // _PATCH)
    return max(1, token_budget // patches)
