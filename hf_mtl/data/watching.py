"""A bar while a long file is read line by line, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from hf_mtl.launch import is_first

__all__ = ["watched"]

_LONG = 16_000_000  # bytes; what is shorter is read within a second or two
_LINES = 10_000  # between two looks at the bar


def watched(lines: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """Give the lines of a file on; meanwhile a bar shows how far they have been read, if that takes long.

    Args:
        lines: The lines.
        path: The file, whose size is the bar's length.
    """
    size = path.stat().st_size
    if size < _LONG or not sys.stderr.isatty() or not is_first():
        yield from lines
        return
    from rich.progress import Progress

    from hf_mtl.terminal import Terminal

    with Progress(console=Terminal(stderr=True), transient=True) as bar:
        task, done = bar.add_task(f"Reading {path.name}", total=size), 0
        for number, line in enumerate(lines):
            done += len(line)
            if number % _LINES == 0:
                bar.update(task, completed=done)
            yield line
