"""Which rows and which columns: pure functions on one task's rows, each drawn by its own seed.

>>> rows = Dataset.from_dict({"sentence": list("abcdef"), "label": [0, 1, 0, 1, 0, 1]})
>>> list(max_examples(rows, 2)["sentence"])
['a', 'b']
>>> rest, part = split_off(rows, 0.3, seed=1, stratify_by="label")
>>> len(rest), len(part)
(4, 2)
>>> renamed(rows, {"text": "sentence"}).column_names
['text', 'label']
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from datasets import ClassLabel, Dataset, IterableDataset

from hf_mtl.bounds import COUNT, SHARE
from hf_mtl.data.streams import derived_seed
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing

__all__ = ["few_shot", "max_examples", "renamed", "split_off"]

Rows = TypeVar("Rows", Dataset, IterableDataset)


def max_examples(rows: Rows, n: int, *, seed: int | None = None) -> Rows:
    """Return at most `n` rows.

    Args:
        rows: A data set or, without a seed, a stream.
        n: How many; where there are fewer, all are taken.
        seed: Draw them; a larger `n` draws the same rows and more. Default: the first ones, in their order.

    Raises:
        ConfigError: If `n` is not positive, or a stream is to be drawn from.
    """
    if (problem := COUNT.problem(n)) is not None:
        raise ConfigError(f"max_examples: n: {problem}")
    if isinstance(rows, IterableDataset):
        if seed is not None:
            raise ConfigError(
                "max_examples: rows cannot be drawn from a stream, of which only the beginning is at hand. Take the "
                "first ones (no seed), or do not stream."
            )
        return rows.take(n)
    if seed is None:
        return rows.select(range(min(n, len(rows))))
    return rows.select(_shuffled(range(len(rows)), seed, "max_examples")[:n])


def few_shot(rows: Dataset, k: int, label_column: str, *, seed: int = 0) -> Dataset:
    """Return `k` rows of each class, in the order in which they stand in `rows`.

    A class's draw depends on that class's rows alone.

    Args:
        rows: A data set; a stream's classes are not known before it ends.
        k: Rows of each class.
        label_column: Holds one class a row: text, whole numbers or truth values.
        seed: Another seed draws other rows.

    Raises:
        ConfigError: If there is no such column, `k` is not positive, or `rows` is a stream.
        DataError: If the column holds no classes, or a class has fewer than `k` rows.
    """
    if (problem := COUNT.problem(k)) is not None:
        raise ConfigError(f"few_shot: k: {problem}")
    by_class = _by_class(rows, label_column, "few_shot")
    if few := {name: len(found) for name, found in by_class.items() if len(found) < k}:
        counts = ", ".join(f"{name} ({count})" for name, count in sorted(few.items())[:10])
        raise DataError(
            f"few_shot: {k} rows of each class of {label_column!r} are wanted; these have fewer: {counts}. Take a "
            "smaller k or more rows."
        )
    drawn = [_shuffled(found, seed, "few_shot", name)[:k] for name, found in by_class.items()]
    return rows.select(sorted(row for some in drawn for row in some))


def split_off(
    rows: Dataset, fraction: float, *, seed: int = 0, stratify_by: str | None = None
) -> tuple[Dataset, Dataset]:
    """Hold out a share of the rows.

    Args:
        rows: A data set; for a stream use its `take` and `skip`.
        fraction: The share, between 0 and 1, rounded to whole rows.
        seed: Another seed holds out other rows.
        stratify_by: A column of classes, each of which gives this share of its own rows.

    Returns:
        The rest and the part, both in the order of `rows`.

    Raises:
        ConfigError: If the fraction is not between 0 and 1, there is no such column, or `rows` is a stream.
        DataError: If one of the two would be empty, or the column holds no classes.
    """
    if (problem := SHARE.problem(fraction)) is not None:
        raise ConfigError(f"split_off: fraction: {problem}")
    if stratify_by is not None:
        groups = _by_class(rows, stratify_by, "split_off")
    else:
        groups = {"": range(_whole(rows, "split_off"))}
    part: set[int] = set()
    for name, group in groups.items():
        part.update(_shuffled(group, seed, "split_off", name)[: round(len(group) * fraction)])
    if not 0 < len(part) < len(rows):
        raise DataError(
            f"split_off: {fraction} of {len(rows)} rows leaves one of the two parts empty; take more rows or another "
            "fraction."
        )
    rest = [row for row in range(len(rows)) if row not in part]
    return rows.select(rest), rows.select(sorted(part))


def renamed(rows: Rows, columns: Mapping[str, str]) -> Rows:
    """Give columns the names that a task reads them by; works on streams too.

    Args:
        rows: A data set or a stream.
        columns: The column by its new name, such as `{"text": "sentence", "label": "gold"}`.

    Raises:
        DataError: If a column is not there, or a new name is taken by a column that keeps it.
        ConfigError: If one column is to have two names.
    """
    found = _column_names(rows)
    for role, column in columns.items():
        if column not in found:
            raise DataError(
                f"there is no column {column!r} for {role!r}; the columns are {listing(found)}."
                f"{did_you_mean(column, found)}"
            )
    if twice := [column for column, count in Counter(columns.values()).items() if count > 1]:
        raise ConfigError(f"each column can be renamed once; asked for twice: {listing(twice)}.")
    if taken := set(columns) & (set(found) - set(columns.values())):
        raise DataError(
            f"the new names {listing(taken)} are those of other columns; the columns are {listing(found)}. Remove them "
            "first (rows.remove_columns) or rename them too."
        )
    # By way of names that nobody has: `datasets` does not exchange the names of a stream's columns.
    between = {column: f"\x1f{role}" for role, column in columns.items() if role != column}
    final = {f"\x1f{role}": role for role, column in columns.items() if role != column}
    return rows.rename_columns(between).rename_columns(final) if between else rows


def _shuffled(rows: Sequence[int], seed: int, *keys: str) -> list[int]:
    return random.Random(derived_seed(seed, *keys)).sample(rows, len(rows))


def _whole(rows: Dataset, caller: str) -> int:
    """The number of rows, which a stream does not have."""
    if not isinstance(rows, Dataset):
        raise ConfigError(
            f"{caller}: expected a datasets.Dataset, found {type(rows).__name__}. A stream has no rows to draw from: "
            "load it without streaming."
        )
    return len(rows)


def _by_class(rows: Dataset, column: str, caller: str) -> dict[str, Sequence[int]]:
    """The rows of each class; of a `ClassLabel`, also classes without a row."""
    _whole(rows, caller)
    if column not in rows.column_names:
        near = did_you_mean(column, rows.column_names)
        raise ConfigError(
            f"{caller}: there is no column {column!r}; the columns are {listing(rows.column_names)}.{near}"
        )
    feature = rows.features[column]
    names = feature.names if isinstance(feature, ClassLabel) else []
    found: dict[str, list[int]] = defaultdict(list, {name: [] for name in names})
    for row, value in enumerate(rows[column]):
        # A ClassLabel column may hold -1 for rows whose class is not known.
        if not isinstance(value, bool | int | str) or (names and value not in range(len(names))):
            among = (
                f"one of {len(names)} classes, counted from 0"
                if names
                else "text, a whole number or a truth value"
            )
            raise DataError(
                f"{caller}: row {row} of {column!r} is {value!r}, which is no class; expected {among}."
            )
        found[feature.int2str(value) if names else str(value)].append(row)
    return dict(found)


def _column_names(rows: Dataset | IterableDataset) -> list[str]:
    # A stream that was made by a function knows its columns only from its rows.
    return list(rows.column_names or next(iter(rows.take(1)), {}))
