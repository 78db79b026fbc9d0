"""How often a short command looks for garbage."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["rare_collections"]

_OBJECTS = 200_000


@contextlib.contextmanager
def rare_collections() -> Iterator[None]:
    """Collect garbage rarely meanwhile.

    What such a command loads (modules, a vocabulary) stays until its end. Looking it through again and again, as Python
    does after every few hundred new objects, takes about a tenth of its time.
    """
    before = gc.get_threshold()
    gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
