"""Rows from files, as a `datasets.Dataset`, with errors that name the file and the line.

>>> rows = read_rows("reviews.jsonl")  # doctest: +SKIP
>>> rows.column_names  # doctest: +SKIP
['text', 'label']
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from datasets import Dataset, IterableDataset, Value
from datasets import load_dataset as _load_dataset
from datasets.exceptions import DatasetGenerationError

from hf_mtl.data.conll import read_conll
from hf_mtl.data.delimited import delimited_options
from hf_mtl.data.file_formats import check_file, check_sample, format_of
from hf_mtl.data.image_paths import with_images
from hf_mtl.data.json_files import JsonRows, json_document, json_lines
from hf_mtl.data.parquet_sizes import check_parquet
from hf_mtl.data.plain_text import read_texts
from hf_mtl.data.read_once import read_once
from hf_mtl.data.row_cache import writing_cache
from hf_mtl.errors import DataError

__all__ = ["read_rows", "stream_rows"]

_MOST_KEPT: Final = 64_000_000  # bytes of files, most of whose rows are on the disk


def read_rows(path: str | Path, *, sample_by: str | None = None) -> Dataset:
    """Read a file of JSON lines, JSON, CSV, TSV, Parquet, Arrow, plain text or tagged words (CoNLL, BIO).

    Args:
        path: The file; its ending says the format. A `.txt` of tagged words is read as such.
        sample_by: What a row of plain text is: `line`, `paragraph` or `document`; default: a paragraph if blank lines
            stand between texts, else a line.

    Returns:
        The rows; those of JSON lines, CSV, Parquet and Arrow are cached by `datasets`. A column of paths of images
        holds images.

    Raises:
        DataError: If the file is missing, empty, of an unknown format, or broken; the line is named.
        ConfigError: If `sample_by` is given and the file is no plain text.
    """
    if not isinstance(path, str | Path):
        raise DataError(f"expected the path of a file of rows, found {path!r:.80}.")
    path = Path(path)
    check_file(path)
    format_ = format_of(path)
    check_sample(path, format_, sample_by)
    # A copy, for a data set may be given another format in place.
    return copy.copy(read_once(path, sample_by, _MOST_KEPT, lambda: _rows_of(path, format_, sample_by)))


def _rows_of(path: Path, format_: str, sample_by: str | None) -> Dataset:
    if format_ == "text":
        return _in_memory(read_texts(path, sample_by), path)
    if format_ == "conll":
        return _in_memory(read_conll(path), path)
    if format_ in ("json", "json lines"):
        rows = _json_rows(json_document(path) if format_ == "json" else json_lines(path), path)
    else:
        if format_ == "parquet":
            check_parquet(path)
        rows = _read(format_, path, delimited_options(path) if format_ == "csv" else {})
    return with_images(rows, path.parent)


def stream_rows(path: Path, *, sample_by: str | None = None) -> IterableDataset:
    """The rows of a file one by one; formats that must be read as a whole are, and are given one by one.

    Raises:
        DataError: As in `read_rows`, except that of JSON lines only the first ones are checked beforehand.
    """
    check_file(path)
    format_ = format_of(path)
    check_sample(path, format_, sample_by)
    if format_ in ("text", "conll", "json"):
        return read_rows(path, sample_by=sample_by).to_iterable_dataset()
    if format_ == "parquet":
        check_parquet(path)
    options = delimited_options(path) if format_ == "csv" else {}
    reader = "json" if format_ == "json lines" else format_
    rows = _load_dataset(reader, data_files=str(path), split="train", streaming=True, **options)
    try:
        return with_images(rows, path.parent)
    except ValueError as error:  # of which Arrow's are
        raise DataError(
            f"{path}: its first rows cannot be streamed as {reader}: {error}. UTF-16 is read without streaming."
        ) from error


def _json_rows(found: JsonRows, path: Path) -> Dataset:
    if found.readable:
        rows = _read("json", path, {} if found.field is None else {"field": found.field})
        # The Arrow reader takes texts that look like dates for dates, and their form is lost.
        if all(_is_text(rows.features[column]) for column in found.texts & set(rows.column_names)):
            return rows
        found = found if found.rows else json_lines(path, keep=True)
    columns = dict.fromkeys(column for row in found.rows for column in row)
    return _in_memory({column: [row.get(column) for row in found.rows] for column in columns}, path)


def _is_text(feature: object) -> bool:
    return not isinstance(feature, Value) or feature.dtype in ("string", "large_string")


def _in_memory(columns: Mapping[str, list[Any]], path: Path) -> Dataset:  # Any: whatever a file holds
    try:
        return Dataset.from_dict(dict(columns))
    except (ValueError, TypeError) as error:  # of which Arrow's are
        raise DataError(f"{path}: the rows of a column hold values of different sorts: {error}.") from error


def _read(reader: str, path: Path, extra: Mapping[str, object]) -> Dataset:
    try:
        with writing_cache():
            rows: Dataset = _load_dataset(reader, data_files=str(path), split="train", **extra)
    except (DatasetGenerationError, ValueError) as error:
        if "corresponds to no data" in str(error):
            raise DataError(f"{path}: the file holds no rows.") from error
        raise DataError(f"{path}: cannot be read as {reader}: {error.__cause__ or error}") from error
    if len(rows) == 0:
        raise DataError(f"{path}: the file holds no rows.")
    return rows
