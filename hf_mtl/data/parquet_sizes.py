"""Parquet files that unfold to far more than they hold: one value in a kilobyte, repeated a billion times."""

from __future__ import annotations

from pathlib import Path

import pyarrow  # type: ignore[import-untyped]
from pyarrow import parquet

from hf_mtl.data.file_formats import check_columns
from hf_mtl.errors import DataError

__all__ = ["check_parquet"]

_FEW_ROWS, _ROWS_PER_BYTE = 5_000_000, 10
_FEW_BYTES, _BYTES_PER_BYTE = 256 * 1024 * 1024, 100


def check_parquet(path: Path) -> None:
    """Compare what a file declares with its size, before its rows are read.

    Raises:
        DataError: If it unfolds to far more.
    """
    size = path.stat().st_size
    try:
        found = parquet.read_metadata(path)
    except (pyarrow.ArrowException, OSError):
        return  # the reader says what is wrong with it
    check_columns(path, found.num_columns)
    rows = found.num_rows
    unpacked = sum(found.row_group(i).total_byte_size for i in range(found.num_row_groups))
    many = rows > max(_FEW_ROWS, _ROWS_PER_BYTE * size)
    if many or unpacked > max(_FEW_BYTES, _BYTES_PER_BYTE * size):
        raise DataError(
            f"{path}: the file has {size:,} bytes, and unfolds to {rows:,} rows with {unpacked:,} bytes: the same "
            f"values over and over, which would fill the disk. Write the different rows alone."
        )
