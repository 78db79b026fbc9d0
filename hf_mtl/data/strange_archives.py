"""A data set's archives and compressed files, looked at before `datasets` unpacks them into its cache.

What `datasets` would pass over silently (a link, a name that leads out) is refused here, and so is a file that unpacks
into far more than any rows do.
"""

from __future__ import annotations

import importlib
import tarfile
import zipfile
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Final

from hf_mtl.data.archives import BROKEN, is_plain
from hf_mtl.errors import DataError

__all__ = ["check_archive"]

_CHUNK: Final = 1 << 20
_ALWAYS: Final = 256 << 20  # bytes: as much may come out of any file
_RATIO: Final = 100  # rows of text shrink to a tenth, and those that repeat themselves to a fiftieth
# By its first bytes, the module that reads a compressed file; some are there only where `datasets` can use them.
_READERS: Final = {
    b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "lzma", b"\x28\xb5\x2f\xfd": "zstandard",
    b"\x04\x22\x4d\x18": "lz4.frame",
}  # fmt: skip
_UNKNOWN: Final = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "RAR"}


def check_archive(path: Path, *, named: str | None = None) -> None:
    """Check what a file holds, if it is an archive or compressed.

    Args:
        path: The file.
        named: What messages call it.

    Raises:
        DataError: If it unpacks into far more than its size, holds a link or a name that leads out, or cannot be
            measured.
    """
    name = named or str(path)
    with path.open("rb") as file:
        start = file.read(8)
    if kind := next((kind for magic, kind in _UNKNOWN.items() if start.startswith(magic)), None):
        raise DataError(
            f"{name} is compressed with {kind}, and how much comes out cannot be looked up first. Unpack it, and give "
            f"the files."
        )
    most = max(_ALWAYS, _RATIO * path.stat().st_size)
    try:
        # First the stream: tarfile would read a header of any size into memory.
        for sizes in (_stream_sizes(path, start), _member_sizes(path, name)):
            if any(total > most for total in accumulate(sizes)):
                raise DataError(
                    f"{name} is refused: its {path.stat().st_size:,} bytes unpack into more than {most:,}, and may be "
                    f"meant to fill the disk. If you trust it, unpack it yourself and give the files."
                )
    except (*BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{name} cannot be unpacked ({error!r:.200}). Fetch the file again.") from error


def _stream_sizes(path: Path, start: bytes) -> Iterator[int]:
    """The bytes that come out of a compressed file, piece by piece."""
    reader = next((reader for magic, reader in _READERS.items() if start.startswith(magic)), None)
    if reader is None:
        return
    try:
        module = importlib.import_module(reader)
    except ImportError:
        return  # `datasets` cannot unpack it either, and says what to install
    try:
        with module.open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                yield len(chunk)
    except OSError:
        raise
    except Exception as error:  # every module has an error of its own for a broken file
        raise EOFError(str(error)) from error


def _member_sizes(path: Path, name: str) -> Iterator[int]:
    if tarfile.is_tarfile(path):
        yield from _tar_sizes(path, name)
    elif zipfile.is_zipfile(path):
        yield from _zip_sizes(path, name)


def _tar_sizes(path: Path, name: str) -> Iterator[int]:
    with tarfile.open(path, "r|*") as archive:
        for info in archive:
            if not (info.isfile() or info.isdir()):
                raise _refused(name, info.name, "a plain file")
            _check_name(name, info.name)
            yield tarfile.BLOCKSIZE + info.size


def _zip_sizes(path: Path, name: str) -> Iterator[int]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not is_plain(info) and not info.is_dir():
                raise _refused(name, info.filename, "a plain file")
            _check_name(name, info.filename)
            yield info.file_size


def _check_name(name: str, member: str) -> None:
    place = PurePosixPath(member.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or (place.parts[:1] and place.parts[0].endswith(":")):
        raise _refused(name, member, "a plain path inside it")


def _refused(name: str, member: str, expected: str) -> DataError:
    return DataError(
        f"{name} is refused: it holds {member!r:.200}; expected {expected}. If you trust the archive, unpack it "
        f"yourself and give the files."
    )
