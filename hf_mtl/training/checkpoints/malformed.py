"""A checkpoint whose files are the ones that its index names, and whose content is not what hf_mtl writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from hf_mtl.errors import CheckpointDamagedError

__all__ = ["as_damage", "form_problem"]

_SIGNS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@contextmanager
def as_damage(where: str) -> Iterator[None]:
    """Say where the values are from that turn out to be of another form while they are read.

    Args:
        where: The file, and the part of it.

    Raises:
        CheckpointDamagedError: Instead of what Python or torch say of such values.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except _SIGNS as error:
        raise CheckpointDamagedError(
            f"{where} is not what hf_mtl writes ({type(error).__name__}: {error!s:.300}): it was changed, or written "
            f"by something else. Use an earlier checkpoint, or copy this one again from where it is whole."
        ) from error


def form_problem(saved: object, own: object, path: str = "") -> str | None:
    """Say where a saved state has a value of another sort than the state that it is to replace, if it has one.

    >>> form_problem({"steps": {"a": "7"}}, {"steps": {"a": 3}})
    "steps.a: expected a number, found '7'"
    """
    if saved is None or own is None:  # not known yet, then or now
        return None
    if isinstance(own, Mapping) and isinstance(saved, Mapping):
        inner = (form_problem(saved[key], own[key], f"{path}.{key}") for key in own if key in saved)
        return next((problem for problem in inner if problem is not None), None)
    expected, fits = _sort(own)
    return None if isinstance(saved, fits) else f"{path[1:]}: expected {expected}, found {saved!r:.60}"


def _sort(own: object) -> tuple[str, type | tuple[type, ...]]:
    if isinstance(own, bool | int | float):
        return "a number", (int, float)
    if isinstance(own, str):
        return "text", str
    if isinstance(own, Tensor):
        return "a tensor", Tensor
    if isinstance(own, list):
        return "a list", list
    return ("an object", Mapping) if isinstance(own, Mapping) else ("", object)
