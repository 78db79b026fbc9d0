"""The files of a push: which of a folder's go to the Hub, and whether the Hub has them already."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from hf_mtl.models.saved import CONFIG_FILE, GENERATION_FILE, PROCESSOR_FILES, WEIGHTS_FILE

__all__ = ["CARD_FILE", "RemoteFile", "UploadFile", "adapter_files", "card_files", "differing"]

CARD_FILE = "README.md"

_PICTURES = ("*.png", "*.svg")

_PIECE = 1 << 20  # bytes that are read at once


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub lists it.

    Args:
        size: In bytes.
        oid: Git's name of it: the SHA-1 of its header and bytes (of a pointer, where it is a large file).
        sha256: Of a large file (LFS or Xet), the SHA-256 of its bytes.
    """

    size: int
    oid: str
    sha256: str | None = None


@dataclass(frozen=True)
class UploadFile:
    """A file that is to be on the Hub.

    Args:
        path: Its place in the repository, with "/" between the parts.
        content: The file on this machine, or the bytes themselves.

    Example:
        >>> file = UploadFile("note.txt", b"hello")
        >>> file.is_like(RemoteFile(5, "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0"))
        True
        >>> file.is_like(RemoteFile(5, "0" * 40))
        False
    """

    path: str
    content: Path | bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    def is_like(self, remote: RemoteFile) -> bool:
        """Whether the Hub's file has these bytes."""
        if self.size != remote.size:
            return False
        if remote.sha256 is not None:
            return self._digest("sha256") == remote.sha256
        return self._digest("sha1", b"blob %d\0" % self.size) == remote.oid

    def _digest(self, kind: str, head: bytes = b"") -> str:
        digest = hashlib.new(kind, head, usedforsecurity=False)
        with self._open() as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
        return digest.hexdigest()

    def _open(self) -> BinaryIO:
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb")


def differing(files: tuple[UploadFile, ...], remote: Mapping[str, RemoteFile]) -> list[UploadFile]:
    """Those files that the Hub does not have, or has with other bytes."""
    return [file for file in files if file.path not in remote or not file.is_like(remote[file.path])]


def adapter_files(folder: Path) -> Iterator[Path]:
    """The files of an adapter's folder that go to the Hub: adapter, tokenizer or processor, and the card."""
    names = (CONFIG_FILE, WEIGHTS_FILE, GENERATION_FILE, *PROCESSOR_FILES)
    found = {path for name in names for path in folder.glob(name)}
    yield from sorted(path for path in found if path.is_file())
    yield from card_files(folder)


def card_files(folder: Path) -> Iterator[Path]:
    """A folder's card, and the pictures beside it that it names."""
    card = folder / CARD_FILE
    if not card.is_file():
        return
    yield card
    text = card.read_text(encoding="utf-8", errors="replace")  # names of pictures are all that is looked for
    for path in sorted(folder.iterdir()):
        if path.name in text and any(fnmatchcase(path.name, pattern) for pattern in _PICTURES):
            yield path
