r"""Text from outside in markdown: names, labels, rows and notes that may hold anything.

>>> print(escaped("a|b <script> *x*"))
a\|b &lt;script&gt; \*x\*
>>> print(fenced("print('```')", "python"))
````python
print('```')
````
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hf_mtl.printable import printable

__all__ = ["Verbatim", "code", "escaped", "fenced", "one_line", "table"]

_MARKUP = re.compile(r"([\\`*_\[\]{}|~#$^])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_START = re.compile(r"^(\d{0,9})([-+.)=])(?=\s|$|[-=])")  # of a list or a rule
_LINKS = re.compile(r"(?<=[A-Za-z])(:)(?=//)|(?<=www)(\.)|(@)", re.IGNORECASE)
_BREAK = " ⏎ "


class Verbatim(str):
    """Markdown that is meant as it stands, and is not escaped again."""

    __slots__ = ()


def one_line(text: object) -> str:
    r"""Text on one line and without invisible characters, which may turn a line around or hide a part of it.

    >>> one_line("two\nlines")
    'two ⏎ lines'
    """
    lines = _BREAK.join(part for part in str(text).splitlines())
    return printable(lines, kept="", instead=" ").strip()


def escaped(text: object) -> Verbatim:
    """Text that renders as its own characters, wherever in a line it stands: no markup, no HTML, no link."""
    safe = "".join(_ENTITIES.get(char, char) for char in one_line(text))
    safe = _MARKUP.sub(r"\\\1", safe)
    safe = _START.sub(lambda found: f"{found[1]}&#{ord(found[2])};", safe)
    return Verbatim(_LINKS.sub(lambda found: f"&#{ord(found[0])};", safe))


def code(text: object) -> Verbatim:
    """Text as a span of code, also in a table, where `|` ends a cell even inside of backticks.

    >>> print(code("lora_alpha"), code("a|b`"))
    `lora_alpha` <code>a&#124;b&#96;</code>
    """
    line = one_line(text)
    if line and "`" not in line and "|" not in line:
        return Verbatim(f"`{line}`")
    shown = "".join(char if char.isalnum() or char in " ,;=/+-()" else f"&#{ord(char)};" for char in line)
    return Verbatim(f"<code>{shown}</code>")


def fenced(text: str, language: str = "") -> Verbatim:
    """A block of code, whose fence is longer than any in the text."""
    text = printable(text, instead="\ufffd")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Verbatim(f"{fence}{language}\n{text}\n{fence}")


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()) -> Verbatim:
    """A table; every cell that is not `Verbatim` is escaped.

    Args:
        titles: Of the columns.
        rows: As many cells each.
        right: The numbers of the columns that are aligned to the right.
    """
    aligned = set(right)
    rule = ["---:" if number in aligned else "---" for number in range(len(titles))]
    lines = [list(map(_cell, titles)), rule, *(list(map(_cell, row)) for row in rows)]
    return Verbatim("\n".join("| " + " | ".join(line) + " |" for line in lines))


def _cell(value: object) -> str:
    return value if isinstance(value, Verbatim) else escaped(value)
