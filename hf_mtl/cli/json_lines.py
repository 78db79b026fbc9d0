"""JSON lines from a file, or from a pipe as they come."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from json import JSONDecodeError
from pathlib import Path
from typing import BinaryIO, Protocol

from hf_mtl.bounded_json import JsonLimitError, parse_json
from hf_mtl.cli.arriving import Arriving
from hf_mtl.data.decoding import MAX_LINE, encoding_of, numbered_lines, too_long
from hf_mtl.errors import DataError
from hf_mtl.inference.inputs import Input

__all__ = ["Inputs", "JsonLines", "Texts"]

_BLOCK = 1 << 20
_TOGETHER = 4 * MAX_LINE  # characters of the rows that are taken at once


class Inputs(Protocol):
    """What `hf-mtl predict` reads, in order."""

    @property
    def total(self) -> int | None:
        """How many inputs there are at most, if that is known; it may read the whole file."""
        ...

    def take(self, most: int) -> list[Input]:
        """The next inputs, `most` or fewer; none at the end.

        Raises:
            DataError: If there are none at all.
        """
        ...


class Texts:
    """Texts of the command line."""

    def __init__(self, texts: list[str]) -> None:
        self.total = len(texts)
        self._inputs = (Input(number, text) for number, text in enumerate(texts, start=1))

    def take(self, most: int) -> list[Input]:
        """As in `Inputs`."""
        return list(islice(self._inputs, most))


class JsonLines:
    """JSON objects, one per line. A line that is not one comes as the error that says so.

    A file is read as far as it is asked for. Of a pipe, `take` waits for one row, and gives what has come by then.

    Args:
        source: A file, or `-` for standard input.

    Raises:
        DataError: The file cannot be read.
    """

    def __init__(self, source: str) -> None:
        self.name = "stdin" if source == "-" else source
        path = None if source == "-" else Path(source)
        self._file = path if path is not None and path.is_file() else None
        self._count = self._characters = 0
        self._arriving: Arriving | None = None
        try:
            if self._file is not None:
                self._lines = numbered_lines(self._file, encoding_of(self._file))
            else:
                pipe = _standard_input() if path is None else path.open("rb", buffering=0)
                self._arriving = Arriving(pipe, MAX_LINE)
                self._lines = _decoded(self._arriving, self.name)
        except OSError as error:
            raise DataError(f"{source} cannot be read: {error}") from error
        self._inputs = self._read()

    @property
    def total(self) -> int | None:
        """As in `Inputs`; the lines of a file, the blank ones included."""
        if self._file is None:
            return None
        with self._file.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b"")) or 1

    def take(self, most: int) -> list[Input]:
        """As in `Inputs`."""
        inputs: list[Input] = []
        before = self._characters
        for one in self._inputs:
            inputs.append(one)
            if len(inputs) == most or self._characters - before > _TOGETHER:
                break
            if self._arriving is not None and self._arriving.empty:
                break
        if not inputs and not self._count:
            raise DataError(f"{self.name} holds no rows: expected one JSON object per line.")
        return inputs

    def _read(self) -> Iterator[Input]:
        try:
            for number, line in self._lines:
                if line.strip():
                    self._count += 1
                    self._characters += len(line)
                    place = f"{self.name}, line {number}"
                    yield Input(self._count, _row(line, place), place)
        except DataError as error:  # the text itself is broken there
            self._count += 1
            yield Input(self._count, error)
        except OSError as error:
            self._count += 1
            yield Input(self._count, DataError(f"{self.name} cannot be read any further: {error}"))


def _standard_input() -> BinaryIO:
    if sys.stdin is None or sys.stdin.closed:
        raise DataError("stdin is closed: give the rows with --input FILE.")
    try:
        return io.FileIO(sys.stdin.fileno(), "rb", closefd=False)
    except io.UnsupportedOperation:  # replaced by something in memory
        return sys.stdin.buffer


def _decoded(lines: Iterable[tuple[int, bytes]], name: str) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        if len(line) > MAX_LINE:
            raise too_long(name, number, MAX_LINE)
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{name}, line {number}: byte 0x{line[error.start]:02x} is not UTF-8.") from error


def _row(line: str, place: str) -> object:
    try:
        row = parse_json(line)
    except JSONDecodeError as error:
        return DataError(f"{place}: not valid JSON ({error.msg}, column {error.colno}): {line.strip():.80}")
    except JsonLimitError as error:
        return DataError(f"{place}: {error}: {line.strip():.80}")
    if not isinstance(row, dict):
        return DataError(
            f'{place}: expected a JSON object such as {{"text": "..."}}, found {line.strip():.80}'
        )
    return row
