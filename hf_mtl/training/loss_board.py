"""The losses of all tasks on a screen of any size: all of them where they fit, else those that fell least."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from hf_mtl.short_names import short_names, widest
from hf_mtl.terminal import plain

__all__ = ["LossBoard", "wrap"]

NAME_WIDTH = 28  # cells: longer names are cut
LEAST_NAME = 12  # cells: names are not cut further to make room for more of them
LOSS_WIDTH = 8
GAP = 3  # blanks between two columns of the table
MOST_LINES = 10  # of the table where not all tasks have room
MOST_PLAIN = 8  # lines of one log outside a terminal
INDENT = "    "


@final
class LossBoard:
    """The last loss of every task, and which of them need a look.

    Args:
        tasks: The tasks' names, in the order in which they are shown.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        self._tasks = tuple(tasks)
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._short: dict[int, dict[str, str]] = {}

    def update(self, losses: Mapping[str, float]) -> None:
        """Take the losses of a log."""
        self._first = {**{task: loss for task, loss in losses.items() if math.isfinite(loss)}, **self._first}
        self._last |= losses

    def lines(self, width: int, height: int) -> Iterator[Table | Text]:
        """The tasks in columns, in at most `height` lines of `width` cells."""
        height = max(1, height)
        needed = -(-len(self._tasks) // height)
        room = (width + GAP) // max(1, needed) - (1 + LOSS_WIDTH + GAP)
        widest_name = min(NAME_WIDTH, widest(self._tasks))
        if room >= min(LEAST_NAME, widest_name):
            yield self._grid(self._tasks, min(widest_name, room), width)
            return
        columns = max(1, (width + GAP) // (widest_name + 1 + LOSS_WIDTH + GAP))
        depth = max(1, min(MOST_LINES, height - 2))
        shown = self.ranked()[: columns * depth]
        if height > depth + 1:
            yield Text(f"The {len(shown)} of {len(self._tasks)} tasks whose losses fell least:", style="dim")
        yield self._grid(shown, widest_name, width)
        if height > depth:
            yield Text(self._rest(shown), style="dim", no_wrap=True, overflow="ellipsis")

    def plain(self, facts: Sequence[str], losses: Mapping[str, float], width: int) -> list[str]:
        """The losses of one log behind some facts, as lines of text: all, or those that fell least and a count."""
        short = self._names(NAME_WIDTH)
        pairs = {task: f"{short[task]}={value:.4f}" for task, value in losses.items()}
        lines = wrap([*facts, *pairs.values()], width)
        if len(lines) <= MOST_PLAIN:
            return lines
        ranked = [task for task in self.ranked() if task in losses]
        count = len(ranked)
        while len(lines) > MOST_PLAIN and count > 1:
            count -= 1
            rest = f"{len(ranked) - count} more of {_span([losses[task] for task in ranked[count:]])}"
            lines = wrap([*facts, "fell least:", *(pairs[task] for task in ranked[:count]), rest], width)
        return lines

    def ranked(self) -> list[str]:
        """The tasks, first what is no number, then by how little the loss fell since its first, at last the unseen."""
        return sorted(self._tasks, key=lambda task: -self._rise(task))

    def _rise(self, task: str) -> float:
        """The relative change of a loss since its first; infinite for one that is no number."""
        last, first = self._last.get(task), self._first.get(task)
        if last is None:
            return -math.inf
        if first is None or not math.isfinite(last):
            return math.inf
        return (last - first) / (abs(first) or 1.0)

    def _rest(self, shown: Sequence[str]) -> str:
        left = [task for task in self._tasks if task not in set(shown)]
        losses = [self._last[task] for task in left if task in self._last]
        return f"… and {len(left)} more" + (f", losses {_span(losses)}" if losses else "")

    def _grid(self, tasks: Sequence[str], name_width: int, width: int) -> Table:
        columns = max(1, (width + GAP) // (name_width + 1 + LOSS_WIDTH + GAP))
        depth = -(-len(tasks) // columns)
        grid = Table.grid(padding=(0, GAP, 0, 0))
        for _ in range(columns):
            grid.add_column(no_wrap=True)
        for line in range(depth):
            grid.add_row(*(self._cell(task, name_width) for task in tasks[line::depth]))
        return grid

    def _cell(self, task: str, name_width: int) -> Text:
        cell = plain(self._names(name_width)[task])
        cell.truncate(name_width, pad=True)
        loss, rise = self._last.get(task), self._rise(task)
        style = "bold red" if rise == math.inf else "yellow" if rise > 0 else "cyan"
        return cell.append(" " + ("–" if loss is None else _number(loss)).rjust(LOSS_WIDTH), style=style)

    def _names(self, width: int) -> Mapping[str, str]:
        if width not in self._short:  # four pictures a second, and names never change
            self._short[width] = short_names(self._tasks, width)
        return self._short[width]


def wrap(parts: Sequence[str], width: int) -> list[str]:
    """Join parts into lines of at most `width` cells; no part is broken, lines after the first are indented."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1]) + 2 + cell_len(part) <= width:
            lines[-1] += "  " + part
        else:
            lines.append(INDENT + part if lines else part)
    return lines


def _number(loss: float) -> str:
    """A loss in at most `LOSS_WIDTH` cells."""
    text = f"{loss:.4f}"
    return text if len(text) <= LOSS_WIDTH else f"{loss:.2e}"


def _span(losses: Sequence[float]) -> str:
    finite = [loss for loss in losses if math.isfinite(loss)] or [math.nan]
    return f"{_number(min(finite))} to {_number(max(finite))}, median {_number(statistics.median(finite))}"
