"""Rows in memory, with what a check of some rows needs of a `datasets.Dataset`, and without its import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, final

from hf_mtl.data.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["RowTable"]


@final
class RowTable:
    """The rows of a file that is read without `datasets`.

    Args:
        columns: By name the values of each column, all of one length.

    Example:
        >>> table = RowTable({"text": ["A joy.", "Dull."], "label": [1, 0]})
        >>> len(table), table[1], table.first(1).column("text")
        (2, {'text': 'Dull.', 'label': 0}, ['A joy.'])
    """

    def __init__(self, columns: Mapping[str, list[Any]]) -> None:  # Any: a row's values, here and below
        self._columns = dict(columns)

    @property
    def column_names(self) -> list[str]:
        """The columns' names."""
        return list(self._columns)

    def column(self, name: str) -> list[Any]:
        """The values of a column."""
        return self._columns[name]

    def first(self, n: int) -> RowTable:
        """The first so many rows, or all of them if there are fewer."""
        return RowTable({name: values[:n] for name, values in self._columns.items()})

    def dataset(self) -> Dataset:
        """The same rows as a data set."""
        from datasets import Dataset

        return Dataset.from_dict(self._columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), []))

    def __getitem__(self, number: int) -> Row:
        return {name: values[number] for name, values in self._columns.items()}

    def __iter__(self) -> Iterator[Row]:
        return (self[number] for number in range(len(self)))
