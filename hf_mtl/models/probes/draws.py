"""Random numbers that a pass draws: at the ends of their ranges, and with the module that draws them.

A layer that is left out once in a hundred passes would hardly be seen in two of them. So one pass gets the lowest
numbers that could be drawn and the next one the highest: whatever compares a draw with a rate then shows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["extreme_draws"]

_ATEN = torch.ops.aten
_UNIFORM = (_ATEN.rand, _ATEN.rand_like, _ATEN.uniform, _ATEN.uniform_)
_ATTENTION = (
    "aten::_scaled_dot_product"  # counts as random, and gets no dropout here: see models/attention.py
)
_NEAR_END = 0.99  # of a range that does not include its end, in half precision too


@contextlib.contextmanager
def extreme_draws(*, high: bool) -> Iterator[list[nn.Module]]:
    """Let passes inside the `with` block draw the lowest, or the highest, random numbers.

    Args:
        high: Whether the highest. Numbers that have no such ends are drawn as they are.

    Yields:
        Takes the modules in whose own forward pass numbers are drawn, each once.
    """
    inside: list[nn.Module] = []
    drawing: list[nn.Module] = []

    def enter(module: nn.Module, arguments: Any) -> None:  # Any: a module's own
        inside.append(module)

    def leave(module: nn.Module, arguments: Any, output: Any) -> None:  # Any: as above
        inside.pop()

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
    try:
        with _Extremes(inside, drawing, high=high):
            yield drawing
    finally:
        for hook in hooks:
            hook.remove()


class _Extremes(TorchDispatchMode):
    """See `extreme_draws`."""

    def __init__(self, inside: Sequence[nn.Module], drawing: list[nn.Module], *, high: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inside = inside
        self.drawing = drawing
        self.high = high

    def __torch_dispatch__(
        self,
        func: Any,  # Any: here and below as torch calls it
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded not in func.tags or func.name().startswith(_ATTENTION):
            return output
        if self.inside and not any(module is self.inside[-1] for module in self.drawing):
            self.drawing.append(self.inside[-1])
        if func.overloadpacket in _UNIFORM:
            self._fill(output, *_range(args[1:], kwargs or {}))
        elif func is _ATEN.bernoulli_.float:
            probability = args[1] if len(args) > 1 else (kwargs or {}).get("p", 0.5)
            if 0 < probability < 1:
                output.fill_(float(self.high))
        return output

    def _fill(self, output: Tensor, low: float, high: float) -> None:
        output.fill_(low + (high - low) * _NEAR_END if self.high else low)


def _range(rest: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[float, float]:
    """The ends that `uniform_` was called with; those of `rand` are 0 and 1."""
    ends = [value for value in rest if isinstance(value, float)]
    low = ends[0] if ends else kwargs.get("from", 0.0)
    return low, ends[1] if len(ends) > 1 else kwargs.get("to", 1.0)
