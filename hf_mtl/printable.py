r"""Text from outside on its way to a terminal, a log or a page: what would act on these is written out.

Names, labels, rows, file names and the messages of other packages may hold anything, also the sequences by which a
program moves a terminal's cursor, changes its title or turns a line around.

>>> printable("a\x1b[2J\x9b\r\u202eb")
'a\\x1b[2J\\x9b\\r\\u202eb'
"""

from __future__ import annotations

import json
import unicodedata
from typing import Final

__all__ = ["json_line", "printable", "shown"]

# Control characters, signs of format (of the direction of text, or without width), halves of surrogate pairs,
# and the separators of lines and paragraphs.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT: Final = "\n\t"


def printable(text: object, *, kept: str = _KEPT) -> str:
    r"""Return text as Python would write its invisible characters: `\x1b`, `\u202e`.

    What is printable stays, so that the result may be made printable again. Letters of every script, emoji, and blanks
    of every width are; a joiner between two emoji is not.

    Args:
        text: The text, or an object that is shown as its `str`.
        kept: Characters that stay although they are invisible.
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(char if char in kept or not _is_unsafe(char) else _escape(char) for char in plain)


def json_line(value: object) -> str:
    r"""Return a value as JSON on one line, which reads back as the same value and moves no cursor.

    >>> json_line({"text": "é\x1b\x9b"})
    '{"text": "é\\u001b\\u009b"}'
    """
    text = json.dumps(value, ensure_ascii=False)
    if text.isprintable():
        return text
    return "".join(json.dumps(char)[1:-1] if _is_unsafe(char) else char for char in text)


def shown(value: object) -> object:
    """Return a value as a template of a page shows it: text made printable, and finished markup as it is."""
    return printable(value) if type(value) is str else value


def _is_unsafe(char: str) -> bool:
    return unicodedata.category(char) in _UNSAFE


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
