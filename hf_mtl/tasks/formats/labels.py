"""The labels that training rows hold, where nobody lists them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeGuard

from hf_mtl.data import IGNORED, RowTable
from hf_mtl.errors import ConfigError
from hf_mtl.tasks.formats.rows import Rows

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["found_labels"]

_FEW = 20
_SHARE = 3
_BATCH = 1000


def found_labels(
    rows: Rows | None, column: str, *, multi_label: bool = False
) -> tuple[str, ...] | int | None:
    """The labels of a column, single or in lists.

    Args:
        rows: The rows to learn from.
        column: The column of their labels.
        multi_label: Whether lists of numbers and truth values have one of them for each label.

    Returns:
        Names in sorted order; the number of labels where rows number them from 0; None where they cannot be found: in
        a stream, or in a column that is not there or holds something else.

    Raises:
        ConfigError: If a column of text holds so many different texts that they are no closed set.
    """
    if rows is None or not _is_stored(rows) or column not in rows.column_names:
        return None
    values, lengths = _values(rows, column)
    values -= {None, IGNORED}
    if multi_label and lengths and values <= {0.0, 1.0} and _are_flags(values):
        return lengths.pop() if len(lengths) == 1 else None
    if not values:
        return None
    if all(isinstance(value, bool) for value in values):
        return ("false", "true")
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        numbers = sorted(int(str(value)) for value in values)
        return len(numbers) if numbers == list(range(len(numbers))) else tuple(map(str, numbers))
    if not all(isinstance(value, str) for value in values):
        return None
    if not lengths and len(values) > _FEW and len(values) * _SHARE > len(rows):
        raise ConfigError(
            f"labels: the column {column!r} holds {len(values):,} different texts in {len(rows):,} rows, which are no "
            f"closed set of labels; name them (labels=[...]), or write such texts with a template."
        )
    return tuple(sorted(map(str, values)))


def _is_stored(rows: Rows) -> TypeGuard[Dataset | RowTable]:
    if isinstance(rows, RowTable):
        return True
    from datasets import Dataset

    return isinstance(rows, Dataset)


def _are_flags(values: set[object]) -> bool:
    return all(isinstance(value, float | bool) for value in values)


def _values(rows: Dataset | RowTable, column: str) -> tuple[set[object], set[int]]:
    """The different values of a column, and the lengths of its lists if it holds lists."""
    found: set[object] = set()
    lengths: set[int] = set()
    for batch in _batches(rows, column):
        for value in batch:
            if isinstance(value, list):
                lengths.add(len(value))
                found.update(item for item in value if not isinstance(item, list | dict))
            elif not isinstance(value, dict):
                found.add(value)
    return found, lengths


def _batches(rows: Dataset | RowTable, column: str) -> Iterator[list[object]]:
    if isinstance(rows, RowTable):
        yield rows.column(column)
        return
    # Only this column is read: the others may be images, or go through a transform of the user's.
    for batch in rows.with_format(None).select_columns(column).iter(_BATCH):
        yield batch[column]
