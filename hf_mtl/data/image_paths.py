"""Columns of a data file that hold the paths of images, as columns of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from hf_mtl.data.row_cache import writing_cache

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

__all__ = ["SAMPLE", "are_images", "with_images"]

AnyRows = TypeVar("AnyRows", "Dataset", "IterableDataset")

_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
SAMPLE: Final = 20  # values that are looked at


def with_images(rows: AnyRows, folder: Path) -> AnyRows:
    """Read columns of image paths as images; the files are opened when their rows are.

    A column holds image paths if its first 20 values end as images do and each names a file. A path is relative to the
    folder of the data file, as in the metadata of an image folder.

    Args:
        rows: The rows of a data file.
        folder: The folder of that file.
    """
    from datasets import Features, Image

    sample = list(islice(rows.with_format(None), SAMPLE))
    for column in _columns(sample):
        if are_images((row.get(column) for row in sample), folder):
            said = {"column": column, "folder": str(folder)}
            features = (
                None if rows.features is None else Features(rows.features | {column: Image(decode=False)})
            )
            with writing_cache():
                rows = rows.map(_image, input_columns=column, fn_kwargs=said, features=features)
    return rows


def _columns(sample: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(column for row in sample for column in row))


def are_images(values: Iterable[object], folder: Path) -> bool:
    """Whether the first values of a column are paths of images."""
    paths = [value for value in values if value is not None]
    return bool(paths) and all(
        isinstance(path, str) and path.lower().endswith(_ENDINGS) and (folder / path).is_file()
        for path in paths
    )


def _image(path: str | None, *, column: str, folder: str) -> dict[str, object]:
    return {column: None if path is None else {"bytes": None, "path": str(Path(folder) / path)}}
