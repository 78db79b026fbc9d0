"""Columns of a data file that hold the paths of images, as columns of images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hf_mtl.data.row_cache import writing_cache
from hf_mtl.errors import DataError
from hf_mtl.paths import is_file

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

__all__ = ["are_images", "with_images"]

AnyRows = TypeVar("AnyRows", "Dataset", "IterableDataset")

_ENDINGS: Final = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")
_SAMPLE: Final = 20  # values that are looked at


def with_images(rows: AnyRows, folder: Path) -> AnyRows:
    """Read columns of image paths as images; the files are opened when their rows are.

    A column holds image paths if most of its first 20 values end as images do and one of them names a file. A path is
    relative to the folder of the data file, as in the metadata of an image folder, and stays in it: the rows of a
    stranger's file name no other files of this machine. That holds for paths in the place of an image's bytes too.

    Args:
        rows: The rows of a data file.
        folder: The folder of that file.

    Raises:
        DataError: If such a path leads out of the folder; of a stream, when the row is read.
    """
    from datasets import Features, Image

    sample = list(islice(_undecoded(rows).with_format(None), _SAMPLE))
    for column in _columns(sample):
        values = [row.get(column) for row in sample]
        if _are_paths(values, folder):
            said = {"column": column, "folder": str(folder)}
            features = (
                None if rows.features is None else Features(rows.features | {column: Image(decode=False)})
            )
            with writing_cache():
                rows = rows.map(
                    _image, input_columns=column, with_indices=True, fn_kwargs=said, features=features
                )
        elif any(_has_path(value) for value in values):
            rows = _checked(rows, column, str(folder))
    return rows


def _undecoded(rows: AnyRows) -> AnyRows:
    """Rows whose images are bytes or paths, which is what is looked at."""
    from datasets import Image

    for name, feature in (rows.features or {}).items():
        if isinstance(feature, Image):
            rows = rows.cast_column(name, Image(decode=False))
    return rows


def _columns(sample: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(column for row in sample for column in row))


def are_images(values: Iterable[object], folder: Path) -> bool:
    """Whether the values of a column are paths of images, by the first of them, or objects that have one."""
    values = list(values)
    return _are_paths(values[:_SAMPLE], folder) or any(map(_has_path, values))


def _are_paths(values: Iterable[object], folder: Path) -> bool:
    values = [value for value in values if value is not None]
    paths = [value for value in values if isinstance(value, str) and value.lower().endswith(_ENDINGS)]
    return 2 * len(paths) > len(values) and any(is_file(folder / path) for path in paths)


def _has_path(value: object) -> bool:
    return isinstance(value, Mapping) and "path" in value


def _image(path: object, number: int, *, column: str, folder: str) -> dict[str, object]:
    if not isinstance(path, str):
        return {column: path}
    found = str(Path(folder) / path)
    _check_inside(path, found, f"row {number}, column {column!r}", folder)
    return {column: {"bytes": None, "path": found}}


def _checked(rows: AnyRows, column: str, folder: str) -> AnyRows:
    """The same rows, of whose images those without bytes lie in the folder."""
    from datasets import Dataset, Image

    if not isinstance(rows, Dataset):
        feature = (rows.features or {}).get(column)
        raw = _undecoded(rows)  # a row that is decoded has opened its files
        said = {"column": column, "folder": folder}
        raw = raw.map(_with_path_inside, with_indices=True, fn_kwargs=said, features=raw.features)
        return raw.cast_column(column, feature) if isinstance(feature, Image) else raw
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    images = rows.data.column(column)
    if not pa.types.is_struct(images.type):  # objects of several forms, which are kept as JSON
        for number, image in enumerate(rows[column]):
            _with_path_inside({column: image}, number, column=column, folder=folder)
        return rows
    paths: Any = pc.struct_field(images, "path")  # Any: of Arrow
    alone = paths.is_valid()
    if any(field.name == "bytes" for field in images.type):
        alone = pc.and_(alone, pc.struct_field(images, "bytes").is_null())
    for number in pc.indices_nonzero(alone).to_pylist():
        _check_alone(paths[number].as_py(), number, column, folder)
    return rows


def _with_path_inside(
    row: dict[str, Any],  # Any: a row's values
    number: int,
    *,
    column: str,
    folder: str,
) -> dict[str, Any]:  # Any: as above
    image = row.get(column)
    if isinstance(image, Mapping) and image.get("bytes") is None:
        _check_alone(image.get("path"), number, column, folder)
    return row


def _check_alone(path: object, number: int, column: str, folder: str) -> None:
    if isinstance(path, str):
        _check_inside(path, path, f"row {number}, column {column!r}", folder)


def _check_inside(path: str, found: str, where: str, folder: str) -> None:
    """Check by the names alone that a file is in a folder: where a link in it leads, the user has said.

    Raises:
        DataError: If it is not.
    """
    if "://" in path or "::" in path:
        raise DataError(
            f"{where}: the image {path!r:.300} is an address; expected the path of a file in the data file's folder. "
            f"Download it there, and name the file.",
            reason="corrupt image",
        )
    inside = os.path.normpath(Path.cwd() / folder)
    if not Path(os.path.normpath(Path.cwd() / found)).is_relative_to(inside):
        raise DataError(
            f"{where}: the image {path!r:.300} leads out of the data file's folder, {folder!r}; rows name images in it "
            f"only, so that a stranger's file reads no others. Put the data file above its images, or a link to their "
            f"folder beside it.",
            reason="corrupt image",
        )
