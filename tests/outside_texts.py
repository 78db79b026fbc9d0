"""Texts that a terminal, a log or a page would act on, and what may be left of them."""

from __future__ import annotations

import re
import unicodedata

CONTROLS = (
    "\x00", "\x07", "\x08", "\r", "\x1b[2J", "\x1b]0;x\x07", "\x7f", "\x9b2J", "\x85", "\u200b", "\u2028", "\u202e",
    "\u2066", "\ufeff", "\ud800", "\U000e0041",
)  # fmt: skip
HOSTILE = "[bold red]:smile:" + "".join(CONTROLS)

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
JOINED = "می\u200cخواهم क्\u200dष 👨\u200d👩\u200d👧"
"""Words and a sign of which something without width is a part."""

_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def raw_in(text: str | bytes, *, colours: bool = False) -> list[str]:
    """The characters of a text that something acts on, apart from line breaks and tabs, and what joins letters.

    Args:
        text: The text; bytes are UTF-8.
        colours: Leave out the sequences by which a program sets colours.
    """
    shown = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else text
    shown = _COLOURS.sub("", shown) if colours else shown
    return sorted(
        {char for char in shown if char not in "\n\t\u200c\u200d" and unicodedata.category(char) in _UNSAFE}
    )
