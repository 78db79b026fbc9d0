"""How often a short command looks for garbage: what it loads (modules, a vocabulary) stays until its end."""

from __future__ import annotations

import atexit
import contextlib
import gc
from collections.abc import Iterator

__all__ = ["rare_collections"]

_OBJECTS = 200_000


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage rarely meanwhile, and not at the end of the process.

    Python looks after every few hundred new objects, and several times over all of them when the process ends; of a
    command that lasts a second, both together take a fifth.
    """
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS, *before[1:])
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)
