"""Which formats a data file may have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hf_mtl.data.conll import looks_like_conll
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.paths import is_file, is_folder, names_in

__all__ = ["FORMATS", "check_columns", "check_file", "check_sample", "format_of"]

FORMATS: Final[Mapping[str, str]] = {
    ".jsonl": "json lines", ".ndjson": "json lines", ".json": "json", ".csv": "csv", ".tsv": "csv",
    ".parquet": "parquet", ".arrow": "arrow", ".txt": "text", ".conll": "conll", ".conllu": "conll",
    ".bio": "conll", ".iob": "conll", ".iob2": "conll",
}  # fmt: skip
"""By a file's ending, what it holds."""

_MOST_COLUMNS: Final = 10_000  # of so many, CSV takes a second
_ELSEWHERE: Final = {
    ".gz": "unpack it first", ".zip": "unpack it first", ".zst": "unpack it first", ".bz2": "unpack it first",
    ".xz": "unpack it first", ".xlsx": "save the sheet as CSV", ".xls": "save the sheet as CSV",
    ".ods": "save the sheet as CSV", ".feather": "write it as Parquet", ".pkl": "write it as Parquet",
    ".xml": "write its records as JSON lines",
}  # fmt: skip


def check_file(path: Path) -> None:
    """Check that there is such a file, that its ending is known and that it is not empty.

    Raises:
        DataError: If not; files beside it with its ending are listed.
    """
    if is_folder(path):
        raise DataError(
            f"{path} is a folder; expected a file of rows, of one of the formats {listing(FORMATS)}."
        )
    if not is_file(path):
        if os.path.lexists(path):
            raise DataError(
                f"{path} is not a file that rows can be read from, but a pipe, a device, or a link that leads nowhere; "
                "expected a file of rows: write the rows into one."
            )
        near = [name for name in names_in(path.parent) if name.endswith(path.suffix)]
        beside = f" Files beside it: {listing(near[:10])}.{did_you_mean(path.name, near)}" if near else ""
        missing = "" if is_folder(path.parent) else f" There is no folder {str(path.parent)!r} either."
        raise DataError(f"There is no data file {str(path)!r}.{beside}{missing}")
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        advice = f" ({_ELSEWHERE[suffix]})" if suffix in _ELSEWHERE else ""
        found = (
            f"unknown format {path.suffix!r}{advice}"
            if suffix
            else "its name has no ending that says its format"
        )
        raise DataError(f"{path}: {found}; readable are {listing(FORMATS)}.")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file holds no rows.")


def check_columns(path: Path, count: int, where: str = "") -> None:
    """Check that a table is no wider than one is; every column is an object or more for each reader.

    Args:
        path: The file.
        count: How many columns it has, at least.
        where: The place at which so many were reached.

    Raises:
        DataError: If it is wider.
    """
    if count > _MOST_COLUMNS:
        raise DataError(
            f"{path}{where and ', '}{where}: the rows have more than {_MOST_COLUMNS:,} columns, which is too many. "
            "If the names are data, such as ids, write them as the values of a column; else keep the columns that a "
            "task reads."
        )


def format_of(path: Path) -> str:
    """What a file of a known ending holds: one of the values of `FORMATS`."""
    format_ = FORMATS[path.suffix.lower()]
    return "conll" if format_ == "text" and looks_like_conll(path) else format_


def check_sample(path: Path, format_: str, sample_by: str | None) -> None:
    """Check that `sample_by` is given of plain text only.

    Raises:
        ConfigError: If not.
    """
    if sample_by is not None and format_ != "text":
        raise ConfigError(
            f"{path}: sample_by={sample_by!r} is for plain text, and this file is {format_}; leave it out."
        )
