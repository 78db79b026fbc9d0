"""JSON from files that somebody else may have written: what is read takes memory and time in proportion to the file.

Python's reader takes a megabyte of `[[[[` for a reason to fail in its own words, keeps the last of two equal keys, and
makes objects of 30 times a file's size. Every JSON file of this library is read here.

    >>> parse_json('{"r": 8, "r": 16}')
    Traceback (most recent call last):
    hf_mtl.bounded_json.JsonLimitError: the key 'r' is there twice
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

__all__ = ["MAX_BYTES", "MAX_RECORD_BYTES", "JsonLimitError", "parse_json", "read_json", "too_large"]

MAX_BYTES: Final = 16 * 1024 * 1024
"""Of a file of settings; those of real models and adapters have some thousands."""

MAX_RECORD_BYTES: Final = 256 * 1024 * 1024
"""Of what a run wrote about itself: a log has lines for each round and task."""

_MAX_DEPTH: Final = 100
_MAX_DIGITS: Final = 40  # a float holds whole numbers of 308, and Python reads those of 4,300
_BYTES_PER_VALUE: Final = 16  # an empty object takes two of the text, and 72 of memory
_MIN_VALUES: Final = 1_000_000
_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class JsonLimitError(ValueError):
    """JSON that is well-formed as far as it was read, and larger, deeper or less clear than what is accepted."""


def read_json(path: Path, *, max_bytes: int = MAX_BYTES, unique: bool = True) -> Any:  # Any: plain JSON
    """Read a JSON file in UTF-8.

    Args:
        path: The file.
        max_bytes: The largest that is read.
        unique: Whether to refuse an object that has a key twice; else the last one counts, as for Python.

    Raises:
        OSError: If there is no such file, or it cannot be read.
        JsonLimitError: As `parse_json`.
        ValueError: If it is not JSON, or not UTF-8.
    """
    with path.open("rb") as file:
        raw = file.read(max_bytes + 1)  # and not by the size that a device or a pipe does not have
    return parse_json(raw, max_bytes=max_bytes, unique=unique)


def parse_json(
    text: str | bytes, *, max_bytes: int = MAX_BYTES, unique: bool = True
) -> Any:  # Any: plain JSON
    """Read a JSON text.

    Args:
        text: The text; bytes are UTF-8.
        max_bytes: The longest that is read.
        unique: As in `read_json`.

    Raises:
        JsonLimitError: If it is too long, nested too deep, holds too many values, a whole number of too many digits,
            or an object that has a key twice.
        ValueError: If it is not JSON; mostly a `json.JSONDecodeError`, with the line.
    """
    if len(text) > max_bytes:
        raise JsonLimitError(too_large(max_bytes))
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    _check_number_of_values(text, max(_MIN_VALUES, len(text) // _BYTES_PER_VALUE))
    try:
        value = json.loads(text, object_pairs_hook=_object if unique else None, parse_int=_whole_number)
    except RecursionError:
        raise JsonLimitError(_TOO_DEEP) from None
    _check_depth(value)
    return value


def too_large(max_bytes: int) -> str:
    """Say that a file is too large."""
    return f"it is larger than {max_bytes:,} bytes ({max_bytes / 1024**2:g} MiB), the most that is read"


_TOO_DEEP: Final = f"lists and objects are nested more than {_MAX_DEPTH} levels deep"


def _check_number_of_values(text: str, most: int) -> None:
    """Before anything is made of them; every value stands behind a comma or the beginning of its list or object."""
    if _marks(text) <= most:
        return
    if (values := _marks(_TEXT.sub('""', text))) > most:
        raise JsonLimitError(f"it holds about {values:,} values; at most {most:,} are read")


def _marks(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # Any: plain JSON
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise JsonLimitError(f"the key {twice[:80]!r} is there twice")
    return content


def _whole_number(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise JsonLimitError(
            f"a whole number has {len(digits):,} digits ({digits[:10]}...); at most {_MAX_DIGITS} are read"
        )
    return int(digits)


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        level = [item for outer in level for item in _items(outer)]
        if not level:
            return
    raise JsonLimitError(_TOO_DEEP)


def _items(value: object) -> list[object]:
    """The lists and objects inside one."""
    if isinstance(value, dict):
        return [item for item in value.values() if isinstance(item, dict | list)]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict | list)]
    return []
