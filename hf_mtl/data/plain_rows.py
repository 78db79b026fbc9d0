"""Files whose rows Python reads as `datasets` does, for checks that need not wait for its import.

Arrow gives values types of its own: whole numbers become fractions beside fractions, texts in lists may become dates,
objects with other keys become JSON. What is read here is what it leaves as it is; every other file is for
`hf_mtl.data.load_rows`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Final, TypeAlias

from hf_mtl.data.conll import read_conll
from hf_mtl.data.file_formats import check_file, check_sample, format_of
from hf_mtl.data.image_paths import are_images
from hf_mtl.data.json_files import json_document, json_lines
from hf_mtl.data.plain_text import read_texts
from hf_mtl.data.read_once import read_once
from hf_mtl.data.row_table import RowTable

__all__ = ["read_plain_rows"]

# Kept in memory, where rows take twenty times that; the rows of a larger file, `datasets` keeps on the disk.
_MOST_BYTES: Final = 8_000_000
_DATE: Final = re.compile(r"\s*\d{4}-\d{2}-\d{2}")  # how what Arrow takes for a date begins
_MOST: Final = 2**63
_EMPTY: Final = "empty"  # the sort of no values

Sort: TypeAlias = str | tuple[Any, ...] | None  # Any: sorts of what is inside


class _Unsure(Exception):
    """A value that Arrow may change, or refuse."""


def read_plain_rows(path: Path, *, sample_by: str | None = None) -> RowTable | None:
    """Read a file of JSON lines, JSON, plain text or tagged words.

    Args:
        path: The file.
        sample_by: As in `hf_mtl.data.read_rows`.

    Returns:
        The rows that `read_rows` gives; None if its format or a value is one that `datasets` has to read.

    Raises:
        DataError: As in `read_rows`.
        ConfigError: As there.
    """
    check_file(path)
    format_ = format_of(path)
    check_sample(path, format_, sample_by)
    if path.stat().st_size > _MOST_BYTES:
        return None
    return read_once(path, sample_by, _MOST_BYTES, lambda: _read(path, format_, sample_by))


def _read(path: Path, format_: str, sample_by: str | None) -> RowTable | None:
    if format_ == "text":
        return RowTable(read_texts(path, sample_by))
    if format_ == "conll":
        return RowTable(read_conll(path))
    if format_ == "json lines":
        return _plain(json_lines(path, keep=True).rows, path)
    if format_ == "json":
        found = json_document(path)
        # Other readers than that of lines take numbers for dates where the column is called so.
        only_texts = all(column in found.texts for row in found.rows for column in row)
        return _plain(found.rows, path) if only_texts else None
    return None


def _plain(rows: list[dict[str, Any]], path: Path) -> RowTable | None:  # Any: whatever JSON holds
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    try:
        for values in columns.values():
            _sort_of_all(values)
    except _Unsure:
        return None
    return None if any(are_images(values, path.parent) for values in columns.values()) else RowTable(columns)


def _sort_of_all(values: Iterable[object], *, inside: bool = False) -> Sort:
    """The one sort of some values."""
    nothing: Sort = _EMPTY
    return reduce(_joined, (_sort(value, inside=inside) for value in values), nothing)


def _sort(value: object, *, inside: bool) -> Sort:
    if value is None or isinstance(value, bool):
        return None if value is None else "truth"
    if isinstance(value, str):
        return _text(value, inside=inside)
    if isinstance(value, int) and -_MOST <= value < _MOST:
        return "whole number"
    if isinstance(value, float) and math.isfinite(value):
        return "fraction"
    if isinstance(value, list):
        return "list", _sort_of_all(value, inside=True)
    if isinstance(value, Mapping) and value:
        return "object", tuple((key, _sort(item, inside=True)) for key, item in value.items())
    raise _Unsure


def _text(value: str, *, inside: bool) -> str:
    # A column of texts stays one (`hf_mtl.data.files`), but inside a list or an object a text may become a date.
    if inside and _DATE.match(value):
        raise _Unsure
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        raise _Unsure from None
    return "text"


def _joined(one: Sort, other: Sort) -> Sort:
    if one == other or other == _EMPTY:
        return one
    if one == _EMPTY:
        return other
    if one is None or other is None:
        found = other if one is None else one
        if isinstance(found, tuple) and found[0] == "object":
            raise _Unsure
        return found
    if isinstance(one, tuple) and isinstance(other, tuple) and one[0] == other[0]:
        if one[0] == "list":
            return "list", _joined(one[1], other[1])
        if [key for key, _ in one[1]] == [key for key, _ in other[1]]:
            pairs = zip(one[1], other[1], strict=True)
            return "object", tuple((key, _joined(mine, theirs)) for (key, mine), (_, theirs) in pairs)
    raise _Unsure
