"""Rows from files, as a `datasets.Dataset`, with errors that name the file and the line.

>>> rows = read_rows("reviews.jsonl")  # doctest: +SKIP
>>> rows.column_names  # doctest: +SKIP
['text', 'label']
"""

from __future__ import annotations

import json
from pathlib import Path

from datasets import Dataset
from datasets import load_dataset as _load_dataset
from datasets.exceptions import DatasetGenerationError

from hf_mtl.errors import DataError, did_you_mean, listing

__all__ = ["FORMATS", "check_file", "options", "read_rows"]

FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
"""Which reader of `datasets` takes a file of that ending."""


def read_rows(path: str | Path) -> Dataset:
    """Read a JSONL, JSON, CSV, TSV or Parquet file.

    Args:
        path: The file; its ending says the format.

    Returns:
        The rows, cached as Arrow by `datasets`.

    Raises:
        DataError: If the file is missing, empty, of an unknown format, or broken; a broken JSON line is
            named.
    """
    path = Path(path)
    check_file(path)
    if path.suffix == ".jsonl":
        _check_json_lines(path)
    reader, extra = options(path)
    try:
        rows = _load_dataset(reader, data_files=str(path), split="train", **extra)
    except (DatasetGenerationError, ValueError) as error:
        if "corresponds to no data" in str(error):
            raise DataError(f"{path}: the file holds no rows.") from error
        raise DataError(f"{path}: cannot be read as {reader}: {error.__cause__ or error}") from error
    if len(rows) == 0:
        raise DataError(f"{path}: the file holds no rows.")
    return rows


def check_file(path: Path) -> None:
    """Check that there is such a file, that its ending is known and that it is not empty.

    Raises:
        DataError: If not; files beside it with its ending are listed.
    """
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob(f"*{path.suffix}")) if path.parent.is_dir() else []
        beside = f" Files beside it: {listing(near[:10])}.{did_you_mean(path.name, near)}" if near else ""
        missing = "" if path.parent.is_dir() else f" There is no folder {str(path.parent)!r} either."
        raise DataError(f"There is no data file {str(path)!r}.{beside}{missing}")
    if path.suffix not in FORMATS:
        raise DataError(f"{path}: unknown format {path.suffix!r}; readable are {listing(FORMATS)}.")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file holds no rows.")


def options(path: Path) -> tuple[str, dict[str, str]]:
    """Return which reader of `datasets` takes the file, and what that reader has to know about it."""
    return FORMATS[path.suffix], {"sep": "\t"} if path.suffix == ".tsv" else {}


def _check_json_lines(path: Path) -> None:
    """Check each line by itself: the Arrow reader names neither line nor cause, and skips what it takes for blank."""
    found = False
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            found = True
            try:
                row = json.loads(line.strip())
            except json.JSONDecodeError as error:
                raise DataError(
                    f"{path}, line {number}: not valid JSON ({error.msg} at column {error.colno}): "
                    f"{line.strip()[:80]!r}. Each line must be one JSON object."
                ) from error
            if not isinstance(row, dict):
                raise DataError(
                    f'{path}, line {number}: expected one JSON object such as {{"text": "..."}}, '
                    f"found {line.strip()[:80]!r}."
                )
    if not found:
        raise DataError(f"{path}: the file holds no rows.")
