"""What a trainer consists of: its attributes and those of its objects, as values that can be compared."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator, Mapping, Set
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

LEAVES = (
    type(None), bool, int, float, str, bytes, enum.Enum, Path, Fraction, torch.dtype, torch.device, Tensor, np.ndarray,
    set, frozenset,
)  # fmt: skip
CONTAINERS = (Mapping, list, tuple, deque)


class Attribute(NamedTuple):
    """A value, where it is, and the object that it belongs to."""

    path: str
    owner: object
    value: object


def frozen(value: Any) -> object:
    """A value's bits: equal where all of them are, those of NaN included."""
    if isinstance(value, Tensor):
        own = value.detach().cpu().contiguous()
        return str(own.dtype), tuple(own.shape), own.flatten().view(torch.uint8).numpy().tobytes()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return {key: frozen(own) for key, own in value.items()}
    if isinstance(value, CONTAINERS):
        return [frozen(own) for own in value]
    if isinstance(value, Set):
        return sorted(map(repr, value))
    return value.hex() if isinstance(value, float) else value


def is_ours(value: object) -> bool:
    """Whether an object's class is of this library, or derives from one."""
    return any(cls.__module__.partition(".")[0] == "hf_mtl" for cls in type(value).__mro__)


def _members(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", own) for key, own in value.items()]
    if isinstance(value, CONTAINERS):
        return [(f"[{number}]", own) for number, own in enumerate(value)]
    if is_ours(value):
        return [(f".{key}", own) for key, own in vars(value).items()]
    if isinstance(value, Optimizer | LRScheduler):
        return [(".state_dict()", value.state_dict())]
    if isinstance(value, nn.Module):
        kinds = (value._parameters, value._buffers, value._modules)
        return [(f".{key}", own) for kind in kinds for key, own in kind.items()]
    return []


def walk(roots: Mapping[str, object], *, without: object = None) -> Iterator[Attribute]:
    """Everything that is reached from some objects, each object once and by its shortest path.

    Of other libraries' classes, modules and optimizers are gone into.
    """
    seen = {id(without)}
    waiting = deque(Attribute(path, None, root) for path, root in roots.items())
    while waiting:
        path, owner, value = found = waiting.popleft()
        if id(value) in seen and not isinstance(value, LEAVES + CONTAINERS):
            continue
        seen.add(id(value))
        yield found
        if not isinstance(value, LEAVES) and not isinstance(value, type):
            here = value if is_ours(value) else owner
            waiting.extend(
                Attribute(path + step, here, own) for step, own in sorted(_members(value), key=lambda m: m[0])
            )
