"""What the tasks of a run read, as a table in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from hf_mtl.evaluation.fitted_table import CROWDED, Column, FittedTable, Lead
from hf_mtl.tasks import EncodedSplit, SplitFacts, TaskSuite

__all__ = ["data_table"]


def data_table(suite: TaskSuite, splits: Mapping[str, Mapping[str, EncodedSplit]]) -> FittedTable:
    """Return a table of rows and tokens, and of what does not fit or has no label, where there is such.

    A line per split, or with many tasks a line per task.

    Args:
        suite: The tasks.
        splits: By task and split, its sequences.
    """
    facts = {name: {which: split.facts() for which, split in own.items()} for name, own in splits.items()}
    kinds = {name: suite[name].own_kind.name for name in facts}
    return _by_task(facts, kinds) if len(facts) > CROWDED else _by_split(facts, kinds)


Facts = Mapping[str, Mapping[str, SplitFacts]]
"""By task and split."""


def _by_split(facts: Facts, kinds: Mapping[str, str]) -> FittedTable:
    leads: list[Lead] = []
    lines: list[tuple[str, SplitFacts | None]] = []
    ends = []
    for name, own in facts.items():
        # The kind stands under the name, in a line of its own where the task has one split.
        beside = list(own.items()) if len(own) > 1 else [*own.items(), ("", None)]
        lines += beside
        leads += [Lead(name), Lead(note=kinds[name]), *[Lead()] * (len(beside) - 2)]
        ends.append(len(lines) - 1)
    columns = [Column("split", [which for which, _ in lines], left=True)]
    columns += [
        Column(title, ["" if own is None else _cell(count(own), title) for _, own in lines])
        for title, count in _COLUMNS.items()
    ]
    return FittedTable("task", leads, columns, sections=ends)


def _by_task(facts: Facts, kinds: Mapping[str, str]) -> FittedTable:
    every = list(dict.fromkeys(which for own in facts.values() for which in own))
    rows = {
        which: [f"{own[which].rows:,}" if which in own else "" for own in facts.values()] for which in every
    }
    columns = [Column(f"{which} rows", cells) for which, cells in rows.items()]
    columns += [
        Column(
            title, [_cell(_JOINED[title](list(map(count, own.values()))), title) for own in facts.values()]
        )
        for title, count in _COLUMNS.items()
        if title != "rows"
    ]
    counts = Counter(kinds.values())
    if len(counts) > 1:
        columns.insert(0, Column("kind", list(kinds.values()), spare=1, left=True))
    told = ", ".join(
        f"{count} {kind}" if len(counts) > 1 else f"all {kind}" for kind, count in counts.most_common()
    )
    tokens = sum(split.tokens for own in facts.values() for split in own.values())
    caption = (
        f"{len(facts)} tasks ({told}), {tokens:,} tokens. Tokens and what follows: of all rows of the task."
    )
    return FittedTable("task", [Lead(name) for name in facts], columns, caption=caption)


def _windows(facts: SplitFacts) -> int:
    """The sequences of a split whose rows make several; 0 where each row is one."""
    used = facts.rows - facts.unlabelled - _skipped(facts)
    return 0 if facts.sequences <= used else facts.sequences


def _skipped(facts: SplitFacts) -> int:
    """The rows that were left out because they cannot be used."""
    return sum(facts.skipped.values())


def _cell(count: int, title: str) -> str:
    """A count; what a task has nothing of stays empty, so that those stand out that have some."""
    return f"{count:,}" if count or title in _ALWAYS else ""


_COLUMNS: Mapping[str, Callable[[SplitFacts], int]] = {
    "rows": lambda facts: facts.rows,
    "sequences": _windows,
    "tokens": lambda facts: facts.tokens,
    "longest": lambda facts: facts.longest,
    "truncated": lambda facts: facts.truncated,
    "no label": lambda facts: facts.unlabelled,
    "skipped": _skipped,
}
_ALWAYS = ("rows", "tokens", "longest")
_JOINED: Mapping[str, Callable[[Sequence[int]], int]] = {
    title: max if title == "longest" else sum for title in _COLUMNS
}
