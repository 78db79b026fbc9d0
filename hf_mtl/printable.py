r"""Text from outside on its way to a terminal, a log or a page: what would act on these is written out.

Names, labels, rows, file names and the messages of other packages may hold anything, also the sequences by which a
program moves a terminal's cursor, changes its title or turns a line around.

>>> printable("a\x1b[2J\x9b\r\u202eb")
'a\\x1b[2J\\x9b\\r\\u202eb'
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Final

__all__ = ["is_name", "json_text", "printable", "printable_json", "shown"]

# Without width, and a part of words: of Persian and Hindi ones, and between the parts of an emoji.
_JOINERS: Final = "\u200c\u200d"

# Control characters, signs of format (of the direction of text, or without width), halves of surrogate pairs,
# and the separators of lines and paragraphs.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT: Final = "\n\t"


def printable(text: object, *, kept: str = _KEPT, instead: str | None = None) -> str:
    r"""Return text as Python would write its invisible characters: `\x1b`, `\u202e`.

    What is printable stays, so that the result may be made printable again. Letters of every script, emoji, what joins
    them, and blanks of every width are.

    Args:
        text: The text, or an object that is shown as its `str`.
        kept: Characters that stay although they are invisible.
        instead: What takes their place, if not their number.
    """
    return _without_unsafe(str(text), kept, _escape if instead is None else lambda char: instead)


def is_name(text: str) -> bool:
    """Whether a text is fit for a name: something is seen of it, and nothing of it is invisible but joiners."""
    letters = "".join(char for char in text if char not in _JOINERS)
    return bool(letters.strip()) and letters.isprintable()


def json_text(value: object, *, indent: int | None = None, allow_nan: bool = True) -> str:
    r"""Return a value as JSON that moves no cursor and can be encoded, and reads back as the same value.

    >>> json_text({"text": "é\x1b\x9b"})
    '{"text": "é\\u001b\\u009b"}'
    """
    return printable_json(json.dumps(value, indent=indent, allow_nan=allow_nan, ensure_ascii=False))


def printable_json(text: str) -> str:
    """Return JSON with the same content, its invisible characters as their numbers."""
    return _without_unsafe(text, _KEPT, lambda char: json.dumps(char)[1:-1])


def shown(value: object) -> object:
    """Return a value as a template of a page shows it: text made printable, and finished markup as it is."""
    return printable(value) if type(value) is str else value


def _without_unsafe(text: str, kept: str, shown_as: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    unsafe = [char for char in set(text) if unicodedata.category(char) in _UNSAFE]
    return text.translate({ord(char): shown_as(char) for char in unsafe if char not in _JOINERS + kept})


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
