"""The text of a file: which encoding it has, and its lines with their numbers.

UTF-8 is read with and without a byte order mark, UTF-16 with one. Anything else is refused: an encoding that nothing
in the file names would be a guess.
"""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from hf_mtl.data.watching import watched
from hf_mtl.errors import DataError

__all__ = ["MAX_LINE", "UTF8", "encoding_of", "numbered_lines", "too_long"]

MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes of a line that is a row; a book has one."""

UTF8: Final = "utf-8"
"""The one encoding that the readers of `datasets` take as it is."""

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_FOREIGN: Final = (
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet; unpack it, or save the sheet as CSV"),
    (b"PAR1", "a Parquet file; rename it to .parquet"),
    (b"ARROW1", "an Arrow file; rename it to .arrow"),
    (b"%PDF", "a PDF document; extract its text first"),
)


def encoding_of(path: Path) -> str:
    """Return the name by which Python decodes a text file: `utf-8`, `utf-8-sig` or `utf-16`.

    Raises:
        DataError: If it cannot be read, or its first bytes are those of an archive or of another binary format, or of
            UTF-16 without a mark.
    """
    with _reading(path), path.open("rb") as file:
        head = file.read(256)
    for magic, what in _FOREIGN:
        if head.startswith(magic):
            raise DataError(f"{path}: expected text, found {what}.")
    if head.startswith(_UTF32):
        raise DataError(f"{path}: the file is UTF-32; {_convert(path, 'UTF-32')}")
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if b"\x00" in head:
        raise DataError(
            f"{path}: the file holds zero bytes and no byte order mark: it may be UTF-16, which cannot be known; "
            f"{_convert(path, 'UTF-16LE')}"
        )
    return UTF8


def numbered_lines(path: Path, encoding: str, *, longest: int = MAX_LINE) -> Iterator[tuple[int, str]]:
    r"""The lines of a file, counted from 1, each with its `\n`.

    Args:
        path: The file.
        encoding: What `encoding_of` gives.
        longest: Bytes of a line that are read; in UTF-16, characters.

    Raises:
        DataError: At a line that is not of the encoding, or is longer, or cannot be read.
    """
    if encoding == "utf-16":
        yield from _utf16_lines(path, longest)
        return
    with _reading(path), path.open("rb") as file:
        for number, line in enumerate(watched(iter(partial(file.readline, longest + 1), b""), path), start=1):
            if len(line) > longest:
                raise too_long(path, number, longest)
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            try:
                yield number, line.decode(UTF8)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}, line {number}: byte 0x{line[error.start]:02x} is not UTF-8; the file may be Windows-1252 "
                    f"(Latin-1), which cannot be known; {_convert(path, 'WINDOWS-1252')}"
                ) from error


def _utf16_lines(path: Path, longest: int) -> Iterator[tuple[int, str]]:
    # Lines end at line feeds alone: a JSON text may hold U+2028 as it is.
    with _reading(path), path.open(encoding="utf-16", newline="\n") as file:
        try:
            for number, line in enumerate(iter(partial(file.readline, longest + 1), ""), start=1):
                if len(line) > longest:
                    raise too_long(path, number, longest)
                yield number, line
        except UnicodeError as error:
            raise DataError(
                f"{path}: the byte order mark says UTF-16, and the text is not: {error}."
            ) from error


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise a `DataError` for what the system refuses: no permission, a failing disk, a file that was deleted."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}.", reason="unreadable file"
        ) from error


def too_long(path: str | Path, number: int, longest: int) -> DataError:
    """The error at a line of more bytes than are read."""
    return DataError(
        f"{path}, line {number}: the line is longer than {longest:,} bytes ({longest / 1024**2:g} MiB), the most that "
        f"is read. Is it a file of another kind, or are its line ends missing? Cut longer texts into several rows."
    )


def _convert(path: Path, encoding: str) -> str:
    return f"convert it: iconv -f {encoding} -t UTF-8 {path.name} > {path.stem}.utf8{path.suffix}"
