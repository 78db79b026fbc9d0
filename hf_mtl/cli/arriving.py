"""Lines of a pipe as they come: what is there can be taken without waiting for more."""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["Arriving"]

_AHEAD = 512  # lines that are read before they are wanted


class Arriving:
    """Reads lines in a thread, some hundred ahead of the one who takes them; gives the numbers of the lines too.

    Blank lines are left out.

    Args:
        file: A pipe, opened without a buffer, or bytes in memory.

    Raises:
        OSError: While iterating, where the reading failed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._lines: queue.Queue[tuple[int, bytes] | OSError | None] = queue.Queue(_AHEAD)
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
            for number, line in enumerate(self._file, start=1):
                if line.strip():
                    self._lines.put((number, line))
        except OSError as error:
            self._lines.put(error)
        self._lines.put(None)
