"""Inputs with their numbers and places, and how many of a long row of them are answered together.

>>> sizes, start = [], 0
>>> for _ in range(8):
...     sizes.append(window_size(start))
...     start += sizes[-1]
>>> sizes
[16, 32, 64, 128, 256, 512, 512, 512]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

__all__ = ["Input", "window_size", "windows_of"]

WINDOW = 512  # most inputs that are made ready together where they come one by one
FIRST = 16  # inputs of the first window: the first answer is not to wait for hundreds of others


@dataclass(frozen=True)
class Input:
    """One input of many.

    Args:
        number: Its number, counted from 1.
        item: `(task, input)` or `(task, input, options)`; or the error with which its reading failed.
        place: Where it was read, such as `rows.jsonl, line 7`, for messages.
    """

    number: int
    item: object
    place: str = ""

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"input {self.number} ({self.place})" if self.place else f"input {self.number}"


def window_size(start: int) -> int:
    """How many inputs are answered together behind the first `start` ones.

    Where windows end depends on nothing but the inputs' numbers, so a run that is taken up at the end of one goes on
    with the same windows.
    """
    size = end = min(FIRST, WINDOW)
    while end <= start and size < WINDOW:
        size = min(2 * size, WINDOW)
        end += size
    return end - start if start < end else WINDOW - (start - end) % WINDOW


def windows_of(items: Iterable[object]) -> Iterator[list[Input]]:
    """Read items window by window, each window when it is wanted."""
    inputs = (Input(number, item) for number, item in enumerate(items, start=1))
    start = 0
    while window := list(islice(inputs, window_size(start))):
        yield window
        start += len(window)
