"""Rotary positions whose angles depend on how long the longest row of a pass is.

They have no weights, so a base's own module is called with positions alone, as many as the longest row of the run has:
that takes milliseconds where a pass of the base over such a row would take minutes.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["PositionCall", "angles_beside", "longest_without_effect", "position_calls"]

_NAME = "position_ids"


@dataclass(frozen=True)
class PositionCall:
    """A call of a module without weights that makes something of positions.

    Args:
        module: The module.
        args: What it was called with, without positions.
        kwargs: As above, by name.
        by_name: Whether it took the positions by name, and not as its last argument.
        dimensions: The dimensions of the positions; the last one runs over tokens.
    """

    module: nn.Module
    args: tuple[Any, ...]  # Any: here and below as the base calls its module
    kwargs: Mapping[str, Any]
    by_name: bool
    dimensions: int

    def angles(self, module: nn.Module, length: int, device: torch.device) -> tuple[Tensor, ...]:
        """What the module makes of the positions of one row of a length, each `[..., S, D]`."""
        places = torch.arange(length, device=device).view(*[1] * (self.dimensions - 1), length)
        args = self.args if self.by_name else (*self.args, places)
        kwargs = {**self.kwargs, _NAME: places} if self.by_name else self.kwargs
        made = module(*args, **kwargs)
        found = made if isinstance(made, tuple | list) else (made,)
        return tuple(each for each in found if isinstance(each, Tensor) and each.ndim > 1)


@contextlib.contextmanager
def position_calls(base: nn.Module) -> Iterator[list[PositionCall]]:
    """Yields the calls inside the `with` block, one of each module of a base."""
    calls: list[PositionCall] = []

    def before(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:  # Any: a module's own
        if any(call.module is module for call in calls):
            return
        by_name = isinstance(kwargs.get(_NAME), Tensor)
        places = kwargs[_NAME] if by_name else args[-1] if len(args) > 1 else None
        if isinstance(places, Tensor) and not places.is_floating_point() and places.ndim > 1:
            rest = {name: value for name, value in kwargs.items() if name != _NAME}
            calls.append(PositionCall(module, args if by_name else args[:-1], rest, by_name, places.ndim))

    bare = [module for module in base.modules() if not (module._parameters or module._modules)]
    hooks = [module.register_forward_pre_hook(before, with_kwargs=True) for module in bare]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def angles_beside(call: PositionCall, short: int, long: int, device: torch.device) -> float:
    """The relative difference that a longer row makes, in its pass or in passes after it, to a short row's angles."""
    module = copy.deepcopy(call.module)  # it may keep what it has seen
    alone = call.angles(module, short, device)
    beside = tuple(each[..., :short, :] for each in call.angles(module, long, device))
    after = call.angles(module, short, device)
    return max(_difference(alone, beside), _difference(alone, after))


def longest_without_effect(call: PositionCall, short: int, long: int, device: torch.device) -> int:
    """The most tokens of a longer row that change nothing."""
    without, at_least = short, long
    while at_least - without > 1:
        middle = (without + at_least) // 2
        if angles_beside(call, short, middle, device) > 0:
            at_least = middle
        else:
            without = middle
    return without


def _difference(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> float:
    pairs = [(a.double(), b.double()) for a, b in zip(one, other, strict=True) if a.shape == b.shape]
    return max((float((a - b).norm() / a.norm().clamp_min(1e-12)) for a, b in pairs), default=0.0)
