"""The characters that a part of a regular expression takes, as bits of a number: each of ASCII, and one for all others.

>>> characters_of("LITERAL", ord("a")) == 1 << ord("a") | 1 << ord("A")
True
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["ALL", "END", "characters_of"]

_OTHER: Final = 1 << 128
END: Final = 1 << 129
"""Stands for the end of the text, beside the characters."""

ALL: Final = END - 1
"""Every character."""


def characters_of(kind: str, argument: Any) -> int:  # Any: of the parser's operation
    """The characters that an operation takes, of either case."""
    if kind == "ANY":
        return ALL
    if kind == "LITERAL":
        return _range(argument, argument)
    if kind == "NOT_LITERAL":
        return ALL & ~(0 if argument > 127 else 1 << argument)
    if kind == "CATEGORY":
        return _CATEGORIES.get(str(argument), ALL)
    found, negated = 0, False
    for part, value in argument:
        if str(part) == "NEGATE":
            negated = True
        elif str(part) == "RANGE":
            found |= _range(*value)
        else:
            found |= characters_of(str(part), value)
    return (ALL & ~found) | _OTHER if negated else found


def _range(first: int, last: int) -> int:
    found = _OTHER if last > 127 else 0
    for code in range(first, min(last, 127) + 1):
        for case in {chr(code).lower(), chr(code).upper()}:
            found |= 1 << ord(case) if ord(case) < 128 else _OTHER
    return found


def _where(expression: str) -> int:
    """The characters of ASCII that an expression of one character fits."""
    return sum(1 << code for code in range(128) if re.fullmatch(expression, chr(code)))


_CATEGORIES: Final = {
    "CATEGORY_DIGIT": _where(r"\d") | _OTHER, "CATEGORY_NOT_DIGIT": _where(r"\D") | _OTHER,
    "CATEGORY_SPACE": _where(r"\s") | _OTHER, "CATEGORY_NOT_SPACE": _where(r"\S") | _OTHER,
    "CATEGORY_WORD": _where(r"\w") | _OTHER, "CATEGORY_NOT_WORD": _where(r"\W") | _OTHER,
}  # fmt: skip
