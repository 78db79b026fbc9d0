r"""A table that fits the terminal: columns that can be spared are left out before names are cut too short.

>>> from rich.console import Console
>>> names = ["glue/mnli-matched-fold-07", "glue/mnli-matched-fold-12"]
>>> table = FittedTable("task", [Lead(name) for name in names], [Column("rows", ("8", "9"))])
>>> with (console := Console(width=20, color_system=None)).capture() as capture:
...     console.print(table)
>>> print("|".join(line.strip() for line in capture.get().split("\n")))
|task          rows|──────────────────|glue/mnli…07     8|glue/mnli…12     9||
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hf_mtl.short_names import short_names, widest
from hf_mtl.terminal import plain

__all__ = ["CROWDED", "NONE", "Column", "FittedTable", "Lead"]

CROWDED = 8  # more tasks than this are shown in less detail each
NONE = "–"
GAP = 2  # cells between two columns
LEAST_NAME = 20  # cells: columns that can be spared go before names get shorter than that
SHORTEST_NAME = 8
LONGEST_NAME = 48  # cells, even where there is room: figures far from their names are hard to read
UNBOUNDED = 10_000  # cells


@dataclass(frozen=True)
class Column:
    """A column of a `FittedTable`.

    Args:
        title: Its heading.
        cells: One per line.
        spare: Whether it may be left out in a narrow terminal: the one of the largest number goes first, 0 never goes.
        left: Whether it is set to the left, as words are.
        note: What it means, for the caption.
    """

    title: str
    cells: Sequence[Text | str]
    spare: int = 0
    left: bool = False
    note: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing has it."""
        return all(str(cell) in ("", NONE) for cell in self.cells)


@dataclass(frozen=True)
class Lead:
    """What stands at the beginning of a line: a name, which may be cut, or a note under it."""

    name: str = ""
    note: str = ""


@final
class FittedTable:
    """The table, which finds its form when it is printed.

    Args:
        title: The heading of the names.
        leads: The beginnings of the lines.
        columns: The others; those that nothing has are left out.
        sections: The numbers of the lines after which a section ends.
        caption: What stands under the table.
        heading: What stands above it.
    """

    def __init__(
        self,
        title: str,
        leads: Sequence[Lead],
        columns: Sequence[Column],
        *,
        sections: Collection[int] = (),
        caption: str = "",
        heading: str = "",
    ) -> None:
        self._title = title
        self._leads = leads
        self._columns = [column for column in columns if not column.empty]
        self._sections = sections
        self._caption = caption
        self._heading = heading

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table for this width."""
        columns, spared = list(self._columns), list[str]()
        names = list(dict.fromkeys(lead.name for lead in self._leads if lead.name))
        wanted = min(LEAST_NAME, widest(names))
        while (room := self._room(columns, console, options)) < wanted:
            spare = max(columns, key=lambda column: column.spare, default=None)
            if spare is None or not spare.spare:
                break
            columns.remove(spare)
            spared.append(spare.title)
        short = short_names(names, min(LONGEST_NAME, max(SHORTEST_NAME, room)))
        table = self._table(columns, short)
        table.caption = self._caption_of(columns, spared)
        yield table

    def _room(self, columns: Sequence[Column], console: Console, options: ConsoleOptions) -> int:
        """The cells that the other columns leave to the names."""
        if not columns:
            return options.max_width
        bare = self._table(columns, {lead.name: "" for lead in self._leads}, names_only=True)
        return options.max_width - Measurement.get(console, options.update_width(UNBOUNDED), bare).maximum

    def _table(
        self, columns: Sequence[Column], short: Mapping[str, str], *, names_only: bool = False
    ) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD,
            title=self._heading or None,
            caption_justify="left",
            caption_style="dim",
            pad_edge=False,
            collapse_padding=True,
        )
        table.add_column("" if names_only else self._title, no_wrap=True, style="bold")
        for column in columns:
            table.add_column(_shown(column.title), justify="left" if column.left else "right", no_wrap=True)
        for number, lead in enumerate(self._leads):
            first = _shown(short.get(lead.name, "")) if lead.name else Text(lead.note, style="not bold dim")
            cells = (_shown(column.cells[number]) for column in columns)
            table.add_row("" if names_only else first, *cells, end_section=number in self._sections)
        return table

    def _caption_of(self, columns: Sequence[Column], spared: Sequence[str]) -> Text | None:
        left_out = f"Left out, for the width of the terminal: {', '.join(spared)}." if spared else ""
        parts = (self._caption, *(column.note for column in columns), left_out)
        text = " ".join(part for part in parts if part)
        return _shown(text) if text else None


def _shown(cell: Text | str) -> Text:
    """A cell as it is, whatever it holds."""
    return plain(cell) if isinstance(cell, str) else cell
