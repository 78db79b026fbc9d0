"""From a batch to what routed layers must know about its pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hf_mtl.adapters import RoutedPass, Span
from hf_mtl.data import PackedBatch, PaddedBatch, Segment
from hf_mtl.models.virtual_stream import VirtualStream

__all__ = ["packed_pass", "padded_pass"]

Spans = Callable[[Iterable[Segment]], tuple[Span, ...]]


def packed_pass(stream: VirtualStream, spans: Spans) -> RoutedPass:
    """The pass of a packed stream."""
    return RoutedPass(
        spans=spans(stream.batch.segments),
        lengths=stream.batch.lengths,
        dropout_keys=stream.batch.dropout_keys,
        head=_head_pass(stream.batch, spans),
        prefixes=stream.prefixes,
    )


def padded_pass(batch: PaddedBatch, spans: Spans, *, head_on_labels: bool) -> RoutedPass:
    """The pass of padded rows."""
    return RoutedPass(
        spans=spans(batch.segments),
        dropout_keys=batch.dropout_keys,
        head=_head_pass(batch, spans) if head_on_labels else None,
        rows=len(batch.rows),
        widths=batch.widths,
    )


def _head_pass(batch: PackedBatch | PaddedBatch, spans: Spans) -> RoutedPass:
    return RoutedPass(
        spans=spans(batch.label_segments),
        lengths=batch.label_counts,
        dropout_keys=batch.dropout_keys,
    )
