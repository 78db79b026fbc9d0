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

from hf_mtl.errors import DataError, listing

__all__ = ["FORMATS", "read_rows"]

FORMATS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".parquet": "parquet"}


def read_rows(path: str | Path) -> Dataset:
    """Read a JSONL, JSON, CSV or Parquet file.

    Args:
        path: The file; its ending says the format.

    Returns:
        The rows, cached as Arrow by `datasets`.

    Raises:
        DataError: If the file is missing, empty, of an unknown format, or broken; a broken JSON line is
            named.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob(f"*{path.suffix}")) if path.parent.is_dir() else []
        beside = f" Files beside it: {listing(near[:10])}." if near else ""
        raise DataError(f"There is no data file {str(path)!r}.{beside}")
    if path.suffix not in FORMATS:
        raise DataError(f"{path}: unknown format {path.suffix!r}; readable are {listing(FORMATS)}.")
    if path.suffix == ".jsonl":
        _check_json_lines(path)
    try:
        rows = _load_dataset(FORMATS[path.suffix], data_files=str(path), split="train")
    except (DatasetGenerationError, ValueError) as error:
        if "corresponds to no data" in str(error):
            raise DataError(f"{path}: the file holds no rows.") from error
        raise DataError(
            f"{path}: cannot be read as {FORMATS[path.suffix]}: {error.__cause__ or error}"
        ) from error
    if len(rows) == 0:
        raise DataError(f"{path}: the file holds no rows.")
    return rows


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
