"""Lines of a pipe as they come: what is there can be taken without waiting for more."""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

__all__ = ["Arriving"]

_AHEAD = 8 * 1024 * 1024  # bytes that are read before they are wanted
_LEAST = 16 * 1024  # what a short line counts, so that there are some hundred at most


class _Bytes(queue.Queue["tuple[int, bytes] | OSError | None"]):
    """A queue that is full at a number of bytes; one line of more has room in an empty one."""

    def _init(self, maxsize: int) -> None:
        super()._init(maxsize)
        self._size = 0

    def _qsize(self) -> int:
        return self._size

    def _put(self, item: tuple[int, bytes] | OSError | None) -> None:
        super()._put(item)
        self._size += _weight(item)

    def _get(self) -> tuple[int, bytes] | OSError | None:
        item = super()._get()
        self._size -= _weight(item)
        return item


def _weight(item: tuple[int, bytes] | OSError | None) -> int:
    return max(_LEAST, len(item[1])) if isinstance(item, tuple) else _LEAST


class Arriving:
    """Reads lines in a thread, some hundred ahead of the one who takes them; gives the numbers of the lines too.

    Blank lines are left out.

    Args:
        file: A pipe, opened without a buffer, or bytes in memory.
        longest: Bytes of a line; of a longer one, one byte more comes, and it is the last.

    Raises:
        OSError: While iterating, where the reading failed.
    """

    def __init__(self, file: BinaryIO, longest: int) -> None:
        self._lines = _Bytes(_AHEAD)
        self._longest = longest
        # A buffer of our own: one that the interpreter closes at its end may not be held by a thread that waits.
        self._file = io.BufferedReader(file) if isinstance(file, io.RawIOBase) else file
        threading.Thread(target=self._read, name="hf-mtl reads its input", daemon=True).start()

    @property
    def empty(self) -> bool:
        """Whether the next line has not come yet."""
        return self._lines.empty()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while (line := self._lines.get()) is not None:
            if isinstance(line, OSError):
                raise line
            yield line

    def _read(self) -> None:
        try:
            for number, line in enumerate(
                iter(partial(self._file.readline, self._longest + 1), b""), start=1
            ):
                if line.strip() or len(line) > self._longest:
                    self._lines.put((number, line))
                if len(line) > self._longest:
                    break
        except OSError as error:
            self._lines.put(error)
        self._lines.put(None)
