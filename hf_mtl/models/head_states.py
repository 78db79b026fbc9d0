"""The logits of a batch by route, and the hidden states that the heads of its routes are given.

They are gathered once for all routes and then split: an index per route would give each of them a gradient as large as
the whole stream, and the backward pass would add all of these up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hf_mtl.data import PackedBatch, PaddedBatch, route_parts
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import Pool
from hf_mtl.models.base_pass import BaseOutput

__all__ = ["HeadStates", "logits_of_routes", "states_of_routes"]


class HeadStates(NamedTuple):
    """What the head of one route is given.

    Args:
        states: The hidden states `[N, D]` at the route's places.
        counts: Each of its sequences' number of places.
    """

    states: Tensor
    counts: tuple[int, ...]


def states_of_routes(
    output: BaseOutput, batch: PackedBatch | PaddedBatch, shapes: Mapping[str, HeadShape], pool: Pool | None
) -> dict[str, HeadStates]:
    """The states for the heads of some routes, by route.

    Args:
        output: What the base gave for the whole batch.
        batch: The batch, with all its places.
        shapes: The shape of each of these routes' heads; on an encoder-decoder, one on tokens reads the encoder.
        pool: Which states of a sequence a head on sequences reads. A prompt stands before the first of its tokens and
            counts in their mean, as in PEFT.
    """
    if isinstance(batch, PaddedBatch):
        on_encoder = [
            r for r, shape in shapes.items() if shape is HeadShape.TOKEN and batch.encoder_mask is not None
        ]
        others = [route for route in shapes if route not in on_encoder]
        return _of_rows(output.states, batch, batch.label_mask, others) | _of_rows(
            output.encoder_states, batch, batch.encoder_mask, on_encoder
        )
    parts = route_parts(batch.rows, batch.label_counts)
    whole = {
        route: _with_prompts(output.with_prompts[parts[route].rows], mean=pool is Pool.MEAN)
        for route, shape in shapes.items()
        if output.with_prompts and shape is HeadShape.SEQUENCE and pool is not Pool.LAST
    }
    return whole | _of_stream(output.states, batch, [route for route in shapes if route not in whole])


def _with_prompts(sequences: Sequence[Tensor], *, mean: bool) -> HeadStates:
    """All the states of each sequence `[S, D]`, or its first one."""
    read = sequences if mean else [states_SD[:1] for states_SD in sequences]
    return HeadStates(torch.cat(tuple(read)), tuple(map(len, read)))


def _of_stream(states_TD: Tensor | None, batch: PackedBatch, routes: Sequence[str]) -> dict[str, HeadStates]:
    if not routes:
        return {}
    assert states_TD is not None
    parts = route_parts(batch.rows, batch.label_counts)
    places = torch.cat([batch.label_positions[parts[route].labels] for route in routes])
    return _cut(states_TD[places], batch, routes)


def _of_rows(
    states_BSD: Tensor | None, batch: PaddedBatch, mask_BS: Tensor | None, routes: Sequence[str]
) -> dict[str, HeadStates]:
    if not routes:
        return {}
    assert states_BSD is not None and mask_BS is not None
    wanted = torch.tensor([route in routes for route, _ in batch.rows], device=mask_BS.device)
    rows, places = (mask_BS & wanted[:, None]).nonzero(as_tuple=True)
    parts = route_parts(batch.rows, batch.label_counts)
    return _cut(states_BSD[rows, places], batch, [route for route in parts if route in routes])


def _cut(states_ND: Tensor, batch: PackedBatch | PaddedBatch, routes: Sequence[str]) -> dict[str, HeadStates]:
    """States that stand one behind the other, by the routes whose they are."""
    parts = route_parts(batch.rows, batch.label_counts)
    counts = [batch.label_counts[parts[route].rows] for route in routes]
    each = states_ND.split([sum(own) for own in counts])
    return {
        route: HeadStates(*own) for route, own in zip(routes, zip(each, counts, strict=True), strict=True)
    }


def logits_of_routes(logits_NV: Tensor, batch: PackedBatch | PaddedBatch) -> dict[str, Tensor]:
    """The logits at each route's labels.

    By one split: a slice for each route would give each of them a gradient `[N, V]`, and the backward pass would add
    all of these up.
    """
    parts = route_parts(batch.rows, batch.label_counts)
    sizes = [part.labels.stop - part.labels.start for part in parts.values()]
    return dict(zip(parts, logits_NV.split(sizes), strict=True))
