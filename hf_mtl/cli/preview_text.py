"""Previews of rows for the terminal: learned tokens in colour, or in brackets where there are no colours."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.text import Text

from hf_mtl.recipe.preview_words import counts, visible
from hf_mtl.recipe.previewing import TaskPreview
from hf_mtl.tasks import SeenPiece, SeenRow, SeenSequence

__all__ = ["print_previews"]

_LEARNED, _CUT, _SPECIAL, _LABEL = "bold black on green", "strike dim red", "bold magenta", "bold cyan"
_BRACKETS = {"learned": ("⟦", "⟧"), "cut": ("✂⟨", "⟩")}


def print_previews(previews: tuple[TaskPreview, ...], console: Console) -> None:
    """Print previews; without colours, learned tokens stand in ⟦ ⟧ and what was cut off in ✂⟨ ⟩."""
    colours = console.is_terminal and console.color_system is not None and not console.no_color
    console.print(_legend(colours), soft_wrap=True)
    for preview in previews:
        console.print(Text(), soft_wrap=True)
        for line in _lines(preview, colours):
            console.print(line, soft_wrap=True)


def _legend(colours: bool) -> Text:
    if not colours:
        return Text("⟦learned⟧  ✂⟨cut off by max_length⟩  token‹label›")
    parts = (
        ("learned", _LEARNED),
        ("cut off by max_length", _CUT),
        ("special token", _SPECIAL),
        ("‹label›", _LABEL),
    )
    return Text("  ").join(Text(name, style) for name, style in parts)


def _lines(preview: TaskPreview, colours: bool) -> Iterator[Text]:
    limit = "" if preview.max_length is None else f", at most {preview.max_length} tokens"
    head = Text(visible(preview.task), style="bold underline")
    yield head.append(
        f"  {preview.kind}, {preview.split} rows of {visible(preview.source)}{limit}",
        style="not bold not underline",
    )
    for row in preview.rows:
        yield from _row(row, "skipped" if preview.skips else "refused", colours)
    if preview.problem is not None:
        yield Text(f"  refused: {visible(preview.problem)}", style="red")


def _row(row: SeenRow, if_bad: str, colours: bool) -> Iterator[Text]:
    if row.problem is not None:
        yield Text(f"  row {row.number}: {if_bad}: {visible(row.problem)}", style="red")
    elif not row.sequences:
        yield Text(f"  row {row.number}: no label, left out", style="yellow")
    parts = len(row.sequences)
    for number, sequence in enumerate(row.sequences, start=1):
        part = f", {'window' if row.windows else 'sequence'} {number} of {parts}" if parts > 1 else ""
        yield Text(f"  row {row.number}{part}: {counts(sequence)}", style="bold")
        if sequence.target is not None:
            yield Text("    → ").append(visible(sequence.target), style=_LABEL)
        if sequence.pieces:
            yield _indented(_body(sequence, colours))


def _indented(body: Text) -> Text:
    lines = body.split("\n", allow_blank=False)
    return Text("\n").join(Text("    ").append_text(line) for line in lines)


def _body(sequence: SeenSequence, colours: bool) -> Text:
    body = Text()
    for mark, group in groupby(sequence.pieces, _mark):
        before, after = ("", "") if colours else _BRACKETS.get(mark, ("", ""))
        body.append(before)
        for piece in group:
            body.append(visible(piece.text), style=_style(piece))
            if piece.label is not None:
                body.append(f"‹{visible(piece.label)}›", style=_LABEL)
        body.append(after)
    return body


def _mark(piece: SeenPiece) -> str:
    return "cut" if piece.cut else "learned" if piece.learned else ""


def _style(piece: SeenPiece) -> str:
    if piece.cut:
        return _CUT
    return _LEARNED if piece.learned else _SPECIAL if piece.special else ""
