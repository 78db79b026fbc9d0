"""Adding the effects of adapters that compute them by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from hf_mtl.adapters.routing import RoutedPass, Span
from hf_mtl.adapters.update import OwnEffect

__all__ = ["add_effects"]

_Acting = tuple[Span, OwnEffect]


def add_effects(
    y_TO: Tensor, x_TI: Tensor, acting: Iterable[_Acting], base_layer: nn.Module, routed: RoutedPass
) -> Tensor:
    """Add every adapter's effect to the base layer's output.

    Each effect is computed from the base layer's output, whatever else acts on the same tokens, so that the order
    does not matter. Input and output are cut once for all spans: a slice per span would give each of them a
    gradient as long as the whole stream.

    Args:
        y_TO: The base layer's output `[T, D_out]`; it is left as it is.
        x_TI: The base layer's input `[T, D_in]`.
        acting: Who acts where; spans may overlap or be empty.
        base_layer: The frozen base layer.
        routed: The pass in flight.

    Returns:
        `[T, D_out]`, of the output's dtype; an effect of a wider dtype is added before it is rounded.
    """
    result_TO = y_TO
    for wave in _waves(acting):
        sizes = _cuts(wave, len(y_TO))
        x_parts, y_parts = x_TI.split(sizes), y_TO.split(sizes)
        parts = list(result_TO.split(sizes))
        for i, (span, update) in enumerate(wave):
            at = 2 * i + 1
            effect = update.effect(x_parts[at], y_parts[at], base_layer, span, routed)
            parts[at] = (parts[at] + effect).to(y_TO.dtype)
        result_TO = torch.cat(parts)
    return result_TO


def _waves(acting: Iterable[_Acting]) -> list[list[_Acting]]:
    """Groups in stream order in which no two spans overlap; one group unless there are stacks."""
    waves: list[list[_Acting]] = []
    for item in sorted(acting, key=lambda item: (item[0].start, item[0].stop)):
        fitting = next((wave for wave in waves if wave[-1][0].stop <= item[0].start), None)
        if fitting is None:
            waves.append([item])
        else:
            fitting.append(item)
    return waves


def _cuts(wave: Sequence[_Acting], tokens: int) -> list[int]:
    """Sizes that cut a stream into gap, span, gap, span, ..., gap."""
    sizes = []
    at = 0
    for span, _ in wave:
        sizes += [span.start - at, span.stop - span.start]
        at = span.stop
    return [*sizes, tokens - at]
