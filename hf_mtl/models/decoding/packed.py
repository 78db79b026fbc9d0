"""Rows of any routes on a packed decoder: whole prompts in one stream, then one token of each row at a time.

Both are ordinary packed passes, sorted by route, in which adapters act as in training. The keys and values of all rows
are kept in one cache, where virtual tokens have theirs too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from hf_mtl.adapters import RoutedPass, Span, StackedLoras
from hf_mtl.data import PackedBatch, Segment, chunk_per_route, pack
from hf_mtl.data import Sequence as TokenSequence
from hf_mtl.data.examples import IGNORED
from hf_mtl.models.decoding.cache import KeyValueCache
from hf_mtl.models.decoding.row import Row
from hf_mtl.models.routed_model import RoutedModel

__all__ = ["PackedRows"]

_BARE = "\0"  # sorts before every route, and is none


class PackedRows:
    """The rows that are being written.

    Args:
        model: A model whose base is packed and has a vocabulary head.

    Attributes:
        rows: The rows, as the cache has them.
    """

    def __init__(self, model: RoutedModel) -> None:
        self.rows: list[Row] = []
        self._model = model
        self._cache = KeyValueCache(model.device)
        self._plan: _StepPlan | None = None
        self._loras = StackedLoras()
        self._constants: dict[nn.Module, Tensor] = {}

    def begin(self, rows: Sequence[Row]) -> tuple[list[Row], Tensor]:
        """Run the prompts of new rows.

        Returns:
            The rows as the stream has them, and the logits `[N, V]` of their first tokens.
        """
        ordered = sorted(rows, key=_route)
        lengths = [len(row.request.input_ids) + _virtual(self._model, row) for row in ordered]
        memory = self._cache.begin(lengths)
        self.rows += ordered
        self._plan = None
        return ordered, self._model.remembering(_prompts(ordered).to(self._model.device), memory)

    def advance(self) -> tuple[list[Row], Tensor]:
        """Run the last token of every row.

        Returns:
            The rows as the stream has them, and the logits `[N, V]` of their next tokens.
        """
        if self._plan is None:
            self._plan = _StepPlan(self._model, self.rows)
        plan = self._plan
        rows = [self.rows[i] for i in plan.order]
        device = self._model.device
        positions = torch.tensor([self._cache.lengths[i] for i in plan.order], device=device)
        batch = replace(
            plan.batch,
            input_ids=torch.tensor([row.token_ids[-1] for row in rows], device=device),
            position_ids=positions,
        )
        routed = RoutedPass(
            spans=plan.spans,
            lengths=batch.lengths,
            memory=self._cache.advance(plan.order),
            form=self._loras,
            constants=self._constants,
        )
        return rows, self._model.continuing(batch, routed)

    def remove(self, gone: Collection[Row]) -> None:
        """Let rows go; when none is left, nothing of the adapters' weights is held any longer."""
        if not gone:
            return
        numbers = {row.number for row in gone}
        kept = self._cache.remove({i for i, row in enumerate(self.rows) if row.number in numbers})
        self.rows = [self.rows[i] for i in kept]
        self._plan = None
        if not self.rows:
            self._loras = StackedLoras()
            self._constants.clear()


class _StepPlan:
    """What stays the same in every step as long as the rows do.

    Attributes:
        order: The row of each token of the stream.
        batch: The stream, without its tokens and positions.
        spans: Which adapter acts where.
    """

    def __init__(self, model: RoutedModel, rows: Sequence[Row]) -> None:
        self.order = sorted(range(len(rows)), key=lambda i: _route(rows[i]))
        sequences = [TokenSequence(_route(rows[i]), [0], [0], [IGNORED], row=i) for i in self.order]
        self.batch: PackedBatch = _without_bare(pack(chunk_per_route(sequences))).to(model.device)
        self.spans: tuple[Span, ...] = model.spans(self.batch.segments)


def _route(row: Row) -> str:
    return _BARE if row.request.route is None else row.request.route


def _virtual(model: RoutedModel, row: Row) -> int:
    return 0 if row.request.route is None else model.virtual_tokens(row.request.route)


def _prompts(rows: Sequence[Row]) -> PackedBatch:
    """The rows' prompts as one stream, with a label on the last token of each."""
    sequences = [
        TokenSequence(
            _route(row), list(row.request.input_ids), [len(row.request.input_ids) - 1], [IGNORED], row=i
        )
        for i, row in enumerate(rows)
    ]
    return _without_bare(pack(chunk_per_route(sequences)))


def _without_bare(batch: PackedBatch) -> PackedBatch:
    """The batch with no segments of rows that go through the bare base."""

    def routed(segments: Sequence[Segment]) -> tuple[Segment, ...]:
        return tuple(segment for segment in segments if segment.route != _BARE)

    return replace(batch, segments=routed(batch.segments), label_segments=routed(batch.label_segments))
