"""Takes named members out of a zip file or a tarball: their bytes, and nothing else of the archive."""

from __future__ import annotations

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Final

from hf_mtl.errors import DataError, listing

__all__ = ["BROKEN", "extract", "is_plain"]

_CHUNK: Final = 1 << 20
_LIMIT: Final = 8 << 30  # bytes; the largest archive of the catalogue holds a tenth of it
_ENCRYPTED: Final = 0x1
BROKEN: Final = (  # what the modules of the standard library raise of a broken archive
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    NotImplementedError,  # a way of compression that Python does not have
)


def extract(archive: Path, members: Sequence[str], folder: Path, *, limit: int = _LIMIT) -> None:
    """Copy members of an archive into `folder`, under their bare names.

    Args:
        archive: A wheel (zip) or a tarball compressed with gzip.
        members: Paths inside it, of plain files whose bare names differ.
        folder: An existing folder.
        limit: Most bytes that are read of what the archive holds, unpacked.

    Raises:
        DataError: If a member is missing, is there twice, is no plain file or leads out of the archive, or the archive
            is broken, locked, or holds more than `limit` bytes.
    """
    _check_paths(members, archive)
    wanted = dict.fromkeys(members)
    tarball = archive.suffix in (".gz", ".tgz")
    try:
        opened = (_tar_members if tarball else _zip_members)(archive, wanted, limit)
        for member, source in opened:
            with (folder / PurePosixPath(member).name).open("wb") as file:
                limit -= _copy(source, file, limit, archive)
            del wanted[member]
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the archive
            raise
        raise _broken(archive, error) from error
    except BROKEN as error:
        raise _broken(archive, error) from error
    if wanted:
        raise DataError(
            f"{archive} does not hold {', '.join(map(repr, wanted))}. Delete the file and try again."
        )


def _check_paths(members: Sequence[str], archive: Path) -> None:
    for member in members:
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts or "\\" in member or ":" in member:
            raise _refused(archive, member, "a plain path inside it")
    names = [PurePosixPath(member).name.casefold() for member in members]
    if alike := [member for member, name in zip(members, names, strict=True) if names.count(name) > 1]:
        raise DataError(
            f"refused to unpack {listing(alike)} of {archive.name}: expected names that differ in any folder."
        )


def is_plain(info: zipfile.ZipInfo) -> bool:
    """Whether a member of a zip file is a plain file: no folder, no link."""
    return not info.is_dir() and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)


def _zip_members(archive: Path, wanted: dict[str, None], limit: int) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        found = [info for info in opened.infolist() if info.filename in wanted]
        _check_once([info.filename for info in found], archive)
        for info in found:
            if not is_plain(info):
                raise _refused(archive, info.filename, "a plain file")
            if info.flag_bits & _ENCRYPTED:
                raise _refused(archive, info.filename, "a file without a password")
            if info.file_size > limit:
                raise _too_large(archive, limit)
            with opened.open(info) as source:
                yield info.filename, source


def _tar_members(archive: Path, wanted: dict[str, None], limit: int) -> Iterator[tuple[str, IO[bytes]]]:
    """Read the tarball as a stream, and no further than the last wanted member."""
    every, seen, size = frozenset(wanted), [], 0
    with tarfile.open(archive, "r|gz") as opened:
        for info in opened:
            size += tarfile.BLOCKSIZE + info.size  # what is passed over has to be unpacked too
            if size > limit:
                raise _too_large(archive, limit)
            if info.name not in every:
                continue
            seen.append(info.name)
            _check_once(seen, archive)
            # A link has no bytes of its own, and might point anywhere.
            source = opened.extractfile(info) if info.isfile() else None
            if source is None:
                raise _refused(archive, info.name, "a plain file")
            yield info.name, source
            if not wanted:
                return


def _check_once(names: Sequence[str], archive: Path) -> None:
    if twice := {name for name in names if names.count(name) > 1}:
        raise DataError(
            f"refused to unpack {listing(twice)} of {archive.name}: expected once, and it is there several times."
        )


def _copy(source: IO[bytes], file: IO[bytes], limit: int, archive: Path) -> int:
    """Copy until the end, and say how many bytes that were: those declared may be others."""
    copied = 0
    while chunk := source.read(_CHUNK):
        copied += len(chunk)
        if copied > limit:
            raise _too_large(archive, limit)
        file.write(chunk)
    return copied


def _broken(archive: Path, error: Exception) -> DataError:
    return DataError(f"{archive} cannot be unpacked ({error!r}). Delete the file and try again.")


def _refused(archive: Path, member: str, expected: str) -> DataError:
    return DataError(f"refused to unpack {member!r} of {archive.name}: expected {expected}.")


def _too_large(archive: Path, limit: int) -> DataError:
    return DataError(
        f"refused to unpack {archive.name}: it holds more than the {limit:,} bytes that are allowed, and may be meant "
        f"to fill the disk. Delete the file and fetch it again."
    )
