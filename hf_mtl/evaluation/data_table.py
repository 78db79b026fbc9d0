"""What the tasks of a run read, as a table in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from hf_mtl.tasks import EncodedSplit, SplitFacts, TaskSuite

__all__ = ["data_table"]


def data_table(suite: TaskSuite, splits: Mapping[str, Mapping[str, EncodedSplit]]) -> Table:
    """Return a table of rows and tokens, and of what does not fit or has no label, where there is such.

    Args:
        suite: The tasks.
        splits: By task and split, its sequences.
    """
    facts = {(name, which): split.facts() for name, own in splits.items() for which, split in own.items()}
    shown = [title for title in _COLUMNS if title in _ALWAYS or any(map(_COLUMNS[title], facts.values()))]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("task", overflow="fold", style="bold")
    table.add_column("split", no_wrap=True)
    for title in shown:
        table.add_column(title, justify="right", no_wrap=True)
    for name, own in splits.items():
        for number, which in enumerate(own):
            first = (Text(name), Text(suite[name].own_kind.name, style="not bold dim"))
            counts = [f"{_COLUMNS[title](facts[name, which]):,}" for title in shown]
            table.add_row(first[number] if number < len(first) else "", which, *counts)
        if len(own) == 1:
            table.add_row(Text(suite[name].own_kind.name, style="not bold dim"))
        table.add_section()
    return table


def _windows(facts: SplitFacts) -> int:
    """The sequences of a split whose rows make several; 0 where each row is one."""
    return 0 if facts.sequences <= facts.rows - facts.unlabelled else facts.sequences


_COLUMNS: Mapping[str, Callable[[SplitFacts], int]] = {
    "rows": lambda facts: facts.rows,
    "sequences": _windows,
    "tokens": lambda facts: facts.tokens,
    "longest": lambda facts: facts.longest,
    "truncated": lambda facts: facts.truncated,
    "no label": lambda facts: facts.unlabelled,
}
_ALWAYS = ("rows", "tokens", "longest")
