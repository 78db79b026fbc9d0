"""A data set in the Hub's layout, a stranger's: what its card says and where its files lie, before a row is read.

The metadata of a card (`configs:` with `data_files`) may name any file of the machine that loads it, and `datasets`
reads it. Here a data set has the files of its own folder or repository, and no others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from datasets import (
    Dataset,
    DatasetBuilder,
    DatasetDict,
    DownloadConfig,
    DownloadManager,
    IterableDatasetDict,
    load_dataset_builder,
)

from hf_mtl.data.strange_archives import check_archive
from hf_mtl.errors import DataError, HfMtlError, listing
from hf_mtl.versions import hub_errors

__all__ = ["open_builder", "read_set"]

_CARD: Final = "README.md"
_LONGEST: Final = 3 << 20  # bytes of a card; the reader of its YAML takes seconds for each of them
_INSIDE: Final = ("zip://", "tar://", "gzip://", "bz2://", "xz://")  # a file in a file


class _Downloads(DownloadManager):  # type: ignore[misc]  # it has no types
    """The downloads of `datasets`; what it would unpack is looked at first."""

    def extract(self, path_or_paths: object) -> object:
        for path in _flat(path_or_paths):
            check_archive(Path(path))
        return super().extract(path_or_paths)

    def iter_archive(self, path_or_buf: object) -> object:
        if isinstance(path_or_buf, str):
            check_archive(Path(path_or_buf))
        return super().iter_archive(path_or_buf)


def open_builder(source: str, name: str | None = None, revision: str | None = None) -> DatasetBuilder:
    """Find out what files a data set has; none of its rows is read.

    Args:
        source: A folder or a Hub id.
        name: The configuration.
        revision: The branch, tag or commit on the Hub.

    Raises:
        DataError: If its card is too long, or names files elsewhere.
        Exception: What `datasets.load_dataset_builder` raises.
    """
    folder = Path(source)
    if folder.is_dir():
        _check_card(folder / _CARD, source)
    with _understood(source):
        builder = load_dataset_builder(source, name, revision=revision)
    _check_files(builder, source, folder.resolve() if folder.is_dir() else None)
    return builder


def read_set(
    builder: DatasetBuilder, *, split: str | None = None, streaming: bool = False
) -> Dataset | DatasetDict | IterableDatasetDict:
    """Read the rows.

    Args:
        builder: What `open_builder` gave.
        split: Which of them; a stream has them all.
        streaming: Whether they are read one by one.

    Raises:
        DataError: If an archive among its files is refused.
        Exception: What `datasets` raises.
    """
    if streaming:
        for file in _files(builder):
            if (path := Path(file)).is_file():
                check_archive(path)
        with _understood(builder.repo_id or builder.base_path):
            streams: IterableDatasetDict = builder.as_streaming_dataset()
        return streams
    config = DownloadConfig(use_etag=False, token=builder.token, storage_options=builder.storage_options)
    builder.download_and_prepare(
        dl_manager=_Downloads(
            dataset_name=builder.dataset_name,
            download_config=config,
            data_dir=builder.config.data_dir,
            base_path=builder.base_path,
        )
    )
    rows: Dataset | DatasetDict = builder.as_dataset(split=split)
    return rows


@contextlib.contextmanager
def _understood(source: str) -> Iterator[None]:
    """Raise what a stranger's metadata make of the code that reads them as a `DataError`.

    What `datasets` raises on purpose passes as it is.
    """
    try:
        yield
    except Exception as error:
        meant = isinstance(error, OSError | ValueError | RuntimeError | HfMtlError | hub_errors().http)
        if meant and not isinstance(error, RecursionError):
            raise
        problem = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(
            f"{source}: the data set cannot be read: {problem:.300}. Look at the metadata at the top of its {_CARD}, "
            f"or give its data files themselves."
        ) from error


def _check_card(card: Path, source: str) -> None:
    if card.is_file() and (size := card.stat().st_size) > _LONGEST:
        raise DataError(
            f"{source}: its {_CARD} has {size:,} bytes; expected at most {_LONGEST:,}. Remove it, or give the data "
            f"files themselves."
        )


def _check_files(builder: DatasetBuilder, source: str, folder: Path | None) -> None:
    if outside := [file for file in _files(builder) if not _is_inside(file, builder.repo_id, folder)]:
        where = "its repository" if folder is None else "its folder"
        raise DataError(
            f"{source}: its {_CARD} names files outside of {where}: {listing(outside[:3])}. They are not read: whoever "
            f"wrote it would choose what of this machine is trained on. Give these files themselves, if you mean them."
        )


def _files(builder: DatasetBuilder) -> list[str]:
    return [file for part in (builder.config.data_files or {}).values() for file in part]


def _is_inside(file: str, repo: str | None, folder: Path | None) -> bool:
    *members, file = file.split("::")
    if not all(member.startswith(_INSIDE) for member in members):
        return False
    if folder is None:
        return repo is not None and file.startswith(f"hf://datasets/{repo}@") and ".." not in file.split("/")
    return ".." not in PurePosixPath(file).parts and Path(file).is_relative_to(folder)


def _flat(paths: object) -> Iterable[str]:
    """The paths in nested lists and dictionaries."""
    if isinstance(paths, dict):
        paths = list(paths.values())
    if isinstance(paths, list | tuple):
        for part in paths:
            yield from _flat(part)
    elif isinstance(paths, str):
        yield paths
