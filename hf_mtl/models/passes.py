"""From a batch to what routed layers must know about its pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hf_mtl.adapters import RoutedPass, Span
from hf_mtl.data import PackedBatch, PaddedBatch, Segment
from hf_mtl.models.virtual_stream import VirtualStream

__all__ = ["packed_pass", "padded_pass", "pooler_pass"]

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


def pooler_pass(
    route: str, counts: tuple[int, ...], dropout_keys: tuple[int, ...], spans: Spans
) -> RoutedPass:
    """The pass of a pooler below a route's head.

    Args:
        route: The route.
        counts: How many states of each of its rows the pooler is given: one, or none of a row without a label.
        dropout_keys: One for each of these rows.
        spans: Which adapters act on a segment.
    """
    segments = [Segment(route, 0, sum(counts))] if sum(counts) else []
    return RoutedPass(spans=spans(segments), lengths=counts, dropout_keys=dropout_keys)


def _head_pass(batch: PackedBatch | PaddedBatch, spans: Spans) -> RoutedPass:
    return RoutedPass(
        spans=spans(batch.label_segments),
        lengths=batch.label_counts,
        dropout_keys=batch.dropout_keys,
    )
