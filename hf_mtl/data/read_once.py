"""Files that several tasks have rows in, read once while a recipe is checked or built.

>>> import tempfile
>>> from pathlib import Path
>>> with tempfile.TemporaryDirectory() as folder, reading_once():
...     file = Path(folder, "rows.txt")
...     _ = file.write_text("a row")
...     [read_once(file, "lines", 1_000, lambda: print("reads") or ["a row"]) for task in range(3)]
reads
[['a row'], ['a row'], ['a row']]
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["read_once", "reading_once"]

Content = TypeVar("Content")

# By how files are read: what they held, by their state, with their size.
_Kept = dict[Hashable, tuple[int, Any]]  # Any: whatever a reader makes of a file
_KEPT: ContextVar[dict[int, _Kept] | None] = ContextVar("hf_mtl_read_files", default=None)


@contextmanager
def reading_once() -> Iterator[None]:
    """Keep what the files held that were read last; at the end of the outermost such block all is forgotten."""
    if _KEPT.get() is not None:
        yield
        return
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def read_once(path: Path, options: Hashable, most_bytes: int, read: Callable[[], Content]) -> Content:
    """What a file holds.

    It is another file once its size or the time of its last change differs. Before one is read, room is made for it:
    there is never more in memory than the largest file brings, or than `most_bytes` of smaller ones do.

    Args:
        path: The file.
        options: How it is read.
        most_bytes: The size of all files together that are kept of those with the same `most_bytes`; a larger file is
            kept alone.
        read: Reads it; what it raises is not kept.
    """
    kept = _KEPT.get()
    if kept is None:
        return read()
    files = kept.setdefault(most_bytes, {})
    found = path.stat()
    key = (path, options, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if key in files:
        files[key] = files.pop(key)  # to the end: the others go first
        content: Content = files[key][1]
        return content
    while files and found.st_size + sum(size for size, _ in files.values()) > most_bytes:
        del files[next(iter(files))]
    content = read()
    files[key] = found.st_size, content
    return content
