"""Values of a row as plain data: texts, numbers, bools, None, and lists and dicts of these.

A template is text that may come from a stranger; it gets no object whose methods it could call.

>>> import datetime
>>> plain({"on": datetime.date(2026, 7, 1), "scores": (0.5, 1)})
{'on': '2026-07-01', 'scores': [0.5, 1]}
>>> plain(b"GIF89a")
'<bytes>'
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Final, TypeAlias
from uuid import UUID

from hf_mtl.errors import DataError

__all__ = ["Placeholder", "Plain", "is_absent", "plain"]

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[Plain, Plain] | None"

_WRITTEN: Final = (date, time, timedelta, Decimal, Fraction, UUID, PurePath)  # their text is what they mean
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_DEEPEST: Final = 100


class Placeholder(str):
    """Stands for a value that has no text, such as an image: it can be asked for, and not be written."""


def is_absent(value: object) -> bool:
    """Whether a row has nothing there: None, or NaN, which tables have in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain(value: object) -> Plain:
    """A value as plain data.

    Dates, times, decimal numbers, UUIDs and paths become their text, numbers of numpy and torch Python's numbers,
    arrays lists. What has no text, such as an image or bytes, becomes a placeholder that names its type.

    Raises:
        DataError: If lists and dicts are nested more than 100 deep.
    """
    return _plain(value, 0)


def _plain(value: object, depth: int) -> Plain:
    if type(value) in _PLAIN:
        return value  # type: ignore[return-value]  # it is one of these
    if depth > _DEEPEST:
        raise DataError(
            f"the row holds lists or dicts that are nested more than {_DEEPEST} deep; expected fewer. Take the part "
            f"that is needed into a column.",
            reason="nested too deeply",
        )
    if isinstance(value, Mapping):
        return {_plain(key, depth + 1): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, _WRITTEN):
        return str(value)
    return _base(value, depth)


def _base(value: object, depth: int) -> Plain:
    """Of a subclass its base's value; of an array a list; of anything else a placeholder."""
    if isinstance(value, str):
        return value if type(value) is Placeholder else str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    import numpy as np

    if isinstance(value, np.generic):
        number = value.item()
        return number if type(number) in _PLAIN else str(value)
    torch = sys.modules.get("torch")  # without it, no value is a tensor
    if isinstance(value, np.ndarray) or (torch is not None and isinstance(value, torch.Tensor)):
        return _plain(value.tolist(), depth + 1)
    return Placeholder(f"<{type(value).__name__}>")
