"""Takes named members out of a zip file or a tarball: their bytes, and nothing else of the archive."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from hf_mtl.errors import DataError

__all__ = ["extract"]

_CHUNK = 1 << 20


def extract(archive: Path, members: Sequence[str], folder: Path) -> None:
    """Copy members of an archive into `folder`, under their bare names.

    Args:
        archive: A wheel (zip) or a tarball compressed with gzip.
        members: Paths inside it, of plain files whose bare names differ.
        folder: An existing folder.

    Raises:
        DataError: If a member is missing, is no plain file or leads out of the archive, or the archive is broken.
    """
    for member in members:
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts or "\\" in member or ":" in member:
            raise DataError(
                f"refused to unpack {member!r} of {archive.name}: expected a plain path inside it."
            )
    wanted = dict.fromkeys(members)
    try:
        opened = (
            _tar_members(archive, wanted)
            if archive.suffix in (".gz", ".tgz")
            else _zip_members(archive, wanted)
        )
        for member, source in opened:
            with (folder / PurePosixPath(member).name).open("wb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
            del wanted[member]
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError) as error:
        raise DataError(
            f"{archive} cannot be unpacked ({error!r}). Delete the file and try again."
        ) from error
    if wanted:
        raise DataError(
            f"{archive} does not hold {', '.join(map(repr, wanted))}. Delete the file and try again."
        )


def _zip_members(archive: Path, wanted: dict[str, None]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for member in [name for name in opened.namelist() if name in wanted]:
            with opened.open(member) as source:
                yield member, source


def _tar_members(archive: Path, wanted: dict[str, None]) -> Iterator[tuple[str, IO[bytes]]]:
    """Read the tarball as a stream, and no further than the last wanted member."""
    with tarfile.open(archive, "r|gz") as opened:
        for info in opened:
            if info.name not in wanted:
                continue
            # A link has no bytes of its own, and might point anywhere.
            source = opened.extractfile(info) if info.isfile() else None
            if source is None:
                raise DataError(f"refused to unpack {info.name!r} of {archive.name}: expected a plain file.")
            yield info.name, source
            if not wanted:
                return
