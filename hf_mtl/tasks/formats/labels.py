"""The labels that training rows hold, where nobody lists them."""

from __future__ import annotations

from collections.abc import Iterator

from datasets import Dataset

from hf_mtl.data import IGNORED
from hf_mtl.errors import ConfigError
from hf_mtl.tasks.formats.columns import Rows

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
    if not isinstance(rows, Dataset) or column not in rows.column_names:
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


def _are_flags(values: set[object]) -> bool:
    return all(isinstance(value, float | bool) for value in values)


def _values(rows: Dataset, column: str) -> tuple[set[object], set[int]]:
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


def _batches(rows: Dataset, column: str) -> Iterator[list[object]]:
    # Only this column is read: the others may be images, or go through a transform of the user's.
    for batch in rows.with_format(None).select_columns(column).iter(_BATCH):
        yield batch[column]
