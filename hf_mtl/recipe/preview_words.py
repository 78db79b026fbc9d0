"""The words and signs that previews use, on a page and in the terminal."""

from __future__ import annotations

from hf_mtl.printable import printable
from hf_mtl.tasks import SeenSequence

__all__ = ["counts", "visible"]

_PICTURES = {code: chr(0x2400 + code) for code in range(32)} | {127: "␡", 13: "␍", 9: "⇥\t", 10: "⏎\n"}


def visible(text: str) -> str:
    r"""A text whose line breaks, tabs and control characters are seen, and which moves no cursor and turns no line.

    >>> visible("a\x1b[2Jb\tc")
    'a␛[2Jb⇥\tc'
    """
    return printable(text.translate(_PICTURES))


def counts(sequence: SeenSequence) -> str:
    """How many tokens a sequence has, learns and lost.

    >>> from hf_mtl.tasks import SeenPiece
    >>> counts(SeenSequence((SeenPiece("a", (1,)), SeenPiece("b", (2, 3), learned=True)), 3))
    '3 tokens, 2 learned'
    """
    if not sequence.pieces:
        return "an image"
    learned = f", {sequence.learned} learned" if sequence.learned else ""
    return f"{sequence.tokens} tokens{learned}" + (f", {sequence.cut} cut off" if sequence.cut else "")
