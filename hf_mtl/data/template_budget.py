"""What filling a template may cost: a count of characters and steps, which any template reaches on any machine alike.

A unit is about a character that is written or read, or a tenth of a step. Every operation that can grow a value or
repeat asks before it begins, so a template ends within a second or two and before it fills the memory, in any thread.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from jinja2 import TemplateError, TemplateRuntimeError
from jinja2.utils import Namespace

__all__ = ["FAILURES", "ITEM", "STEP", "TemplateLimitError", "charge", "length_of", "limited", "size_of"]

FAILURES: Final = (
    TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError,
    AssertionError, SyntaxError,
)  # fmt: skip
"""What Jinja raises on a template, and what a template's expressions raise on a row."""

ITEM: Final = 10  # units of an item of a list, which is a reference and mostly an object
STEP: Final = 10  # units of a part of a template, each time it is evaluated
_UNITS: Final = 10_000_000
_UNITS_PER_SIZE: Final = 4  # a long row may be read some times over
_SECONDS: Final = 1.0  # of the thread's processor; reached only where units are too cheap for what they pay
_STRIDE: Final = 100_000
_ALL: Final = 2**62
_VIEWS: Final[tuple[type[Collection[object]], ...]] = (type({}.keys()), type({}.values()), type({}.items()))
_CONTAINERS: Final[tuple[type[Collection[object]], ...]] = (list, tuple, dict, range, *_VIEWS)


class TemplateLimitError(TemplateRuntimeError):
    """A template asks for more than it may."""


class _Budget:
    """Units that are left."""

    def __init__(self, units: int) -> None:
        self.left = units
        self._next_look = max(units - _STRIDE, 0)
        self._ends: float | None = None

    def charge(self, units: int) -> None:
        self.left -= units
        if self.left < self._next_look:
            self._look()

    def _look(self) -> None:
        now = time.thread_time()
        if self._ends is None:
            self._ends = now + _SECONDS
        self._next_look = max(self.left - _STRIDE, 0)
        if self.left < 0 or now > self._ends:
            self.left = -1
            raise TemplateLimitError(
                "it computes or writes too much: a template may use about ten million characters and steps for a row. "
                "Use smaller widths, repeats and loops, or make the text in a column of the rows"
            )


_BUDGET: ContextVar[_Budget] = ContextVar("budget of a template")


@contextmanager
def limited(*values: object) -> Iterator[None]:
    """Limit what the templates that are filled inside may cost.

    Args:
        values: What they read; the more it is, the more they may cost.
    """
    size = sum(size_of(value, most=_ALL) for value in values)
    token = _BUDGET.set(_Budget(_UNITS + _UNITS_PER_SIZE * size))
    try:
        yield
    finally:
        _BUDGET.reset(token)


def charge(units: int) -> None:
    """Pay for what comes next.

    Raises:
        TemplateLimitError: If less is left.
    """
    _BUDGET.get().charge(units)


def length_of(value: object) -> int:
    """The units of a value without what is inside its items."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple | dict | range):
        return ITEM * len(value)
    return value.bit_length() // 4 if isinstance(value, int) else 1


def size_of(value: object, *, most: int | None = None) -> int:
    """The units of a value and of all that is inside it, counted once for each place where it stands.

    Args:
        value: Any value that a template can hold.
        most: Where to stop; None for what is left.

    Raises:
        TemplateLimitError: If it is larger.
    """
    if isinstance(value, str):
        return len(value)
    if not isinstance(value, (*_CONTAINERS, Namespace)):
        return length_of(value)
    most = _BUDGET.get().left if most is None else most
    size, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Namespace):
            raise TemplateLimitError("a namespace is no value: use what is in it, as in ns.name")
        if isinstance(one, str):
            size += len(one) + ITEM
        elif isinstance(one, range):
            size += ITEM * len(one)
        elif isinstance(one, _CONTAINERS):
            size += ITEM * (len(one) + 1)
            if size <= most:
                waiting.extend(one)
                waiting.extend(one.values() if isinstance(one, dict) else ())
        else:
            size += length_of(one) + ITEM
        if size > most:
            charge(size)  # which refuses it
            return size
    return size
