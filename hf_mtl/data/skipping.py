"""Rows that cannot be used and are left out: how many, by reason, and the first of each.

>>> skipped = SkippedRows()
>>> skipped.add(3, DataError("the completion '' becomes no token at all.", reason="empty answer"))
True
>>> skipped.add(5, DataError("the completion '' becomes no token at all.", reason="empty answer"))
False
>>> print(skipped)
2 rows skipped: 2 × empty answer (first: row 3: the completion '' becomes no token at all.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_mtl.errors import DataError

__all__ = ["SkippedRows", "bad_row", "count_reasons"]


def bad_row(where: str, error: DataError) -> DataError:
    """The error of a row that is not skipped, with its place and the way out."""
    text = str(error)
    end = "" if text.endswith((".", "?")) else "."
    way = "on_bad_row='skip' for the task leaves such rows out and counts them."
    return DataError(f"{where}: {text}{end} {way}", reason=error.reason)


class SkippedRows:
    """Counts rows that are left out."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._firsts: dict[str, tuple[int, str]] = {}

    def __len__(self) -> int:
        return sum(self._counts.values())

    def __str__(self) -> str:
        """All reasons with the first row of each."""
        parts = [
            f"{count:,} × {reason} (first: row {self._firsts[reason][0]}: {self._firsts[reason][1]})"
            for reason, count in self.counts.items()
        ]
        return f"{len(self):,} row{'' if len(self) == 1 else 's'} skipped: {'; '.join(parts)}"

    @property
    def counts(self) -> dict[str, int]:
        """By reason, the number of rows; the most frequent first."""
        return dict(sorted(self._counts.items(), key=lambda item: (-item[1], item[0])))

    def add(self, row: int, error: DataError) -> bool:
        """Count a row.

        Args:
            row: Its number.
            error: Why it cannot be used.

        Returns:
            Whether it is the first one for this reason.
        """
        return self.add_counted(error.reason, 1, (row, str(error)))

    def add_counted(self, reason: str, count: int, first: tuple[int, str]) -> bool:
        """Count several rows with one reason, of which the first is known by number and message."""
        new = reason not in self._counts
        self._counts[reason] = self._counts.get(reason, 0) + count
        self._firsts.setdefault(reason, first)
        return new

    def state_dict(self) -> dict[str, Any]:  # Any: plain JSON
        """As JSON."""
        return {reason: [count, *self._firsts[reason]] for reason, count in self._counts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take what `state_dict` gave."""
        self._counts = {reason: int(own[0]) for reason, own in state.items()}
        self._firsts = {reason: (int(own[1]), str(own[2])) for reason, own in state.items()}


def count_reasons(counts: Mapping[str, int]) -> str:
    """Counts by reason as text.

    >>> count_reasons({"empty answer": 1200, "corrupt image": 1})
    '1,200 × empty answer, 1 × corrupt image'
    """
    return ", ".join(f"{count:,} × {reason}" for reason, count in counts.items())
