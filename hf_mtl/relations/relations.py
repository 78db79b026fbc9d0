"""How much tasks have in common: one number per ordered pair, by the tasks' names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from pydantic import ConfigDict, TypeAdapter

from hf_mtl.bounds import ANY_NUMBER
from hf_mtl.errors import CheckpointError, ConfigError, did_you_mean, listing
from hf_mtl.files import write_text
from hf_mtl.files.records import checked_record, read_record
from hf_mtl.printable import json_text

__all__ = ["Relations", "Source"]

_WHAT = "relations of tasks"
FORMAT_VERSION = 1

Source = Literal["given", "gradient cosines", "Pearson over checkpoints", "Pearson over examples", "learned"]
"""Where the numbers come from."""

_MOST_SHOWN = 4  # pairs named in one message
_ROUNDING = 1e-9  # a difference of two mirrored entries that a file's decimals may make


@dataclass(frozen=True, eq=False)
class Relations:
    """The relations of T tasks: `values[i, j]` is that of task i to task j; 1 is the most, 0 is none, below 0 conflict.

    Two are equal if all their fields are.

    Args:
        names: The tasks, in the order of rows and columns.
        values: `[T, T]`, finite; kept as float64 in a copy that cannot be written to.
        source: Where the numbers come from.
        notes: What a reader of the numbers should know, such as pairs that were never measured.

    Raises:
        ConfigError: The fields do not fit together; all problems at once.

    Example:
        >>> both = Relations.given([[1.0, 0.5], [0.5, 1.0]], ["sentiment", "topic"])
        >>> both.of("topic", "sentiment")
        0.5
    """

    names: tuple[str, ...]
    values: np.ndarray
    source: Source
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        values.flags.writeable = False
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "notes", tuple(self.notes))
        if problems := list(self._problems()):
            raise ConfigError(problems)

    def _problems(self) -> Iterable[str]:
        count = len(self.names)
        if count == 0:
            yield "relations need at least one task, found none."
        if twice := {name for name in self.names if self.names.count(name) > 1}:
            yield f"relations need each task's name once; found more than once: {listing(twice)}."
        if self.values.shape != (count, count):
            yield (
                f"relations of {count} tasks are a square of {count} x {count} numbers, found the shape "
                f"{list(self.values.shape)}."
            )
        elif not np.isfinite(self.values).all():
            bad = [(self.names[i], self.names[j]) for i, j in np.argwhere(~np.isfinite(self.values))]
            yield f"relations must be finite numbers; those of {_pairs(bad)} are not."
        if self.source not in get_args(Source):
            yield (
                f"unknown source {self.source!r} of relations.{did_you_mean(self.source, get_args(Source))} "
                + (f"Sources: {listing(get_args(Source))}.")
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Relations):
            return NotImplemented
        mine, theirs = ((own.names, own.source, own.notes, own.values.tobytes()) for own in (self, other))
        return mine == theirs

    __hash__ = None  # type: ignore[assignment]  # equal by content, and arrays have no hash

    @classmethod
    def given(
        cls,
        table: Mapping[str, Mapping[str, float]] | Sequence[Sequence[float]],
        names: Sequence[str],
        *,
        symmetric: bool = True,
    ) -> Relations:
        """Take over numbers that somebody chose.

        Args:
            table: T rows of T numbers in the order of `names`, or numbers by two names. In the second form the
                diagonal may be left out (1), and with `symmetric` one of the two directions of a pair.
            names: All tasks, in the order that the relations are to have.
            symmetric: Whether both directions of a pair must be equal.

        Raises:
            ConfigError: Unknown or missing names, rows of unlike lengths, numbers that are not finite or, where it is
                asked for, not symmetric; all problems at once.

        Example:
            >>> Relations.given({"a": {"b": 0.5, "c": 0}, "b": {"c": -0.2}}, ["a", "b", "c"]).values.tolist()
            [[1.0, 0.5, 0.0], [0.5, 1.0, -0.2], [0.0, -0.2, 1.0]]
        """
        if isinstance(table, Mapping):
            rows, problems = _rows_by_name(table, names, symmetric=symmetric)
        else:
            rows, problems = [list(row) for row in table], []
        count = len(names)
        if [len(row) for row in rows] != [count] * count:
            found = [len(row) for row in rows]
            raise ConfigError(
                f"relations of {count} tasks are {count} rows of {count} numbers each, one per task in the order "
                f"{', '.join(map(repr, names))}; found {len(rows)} rows of the lengths {found}."
            )
        if strange := _no_numbers(rows, names):
            raise ConfigError([*problems, *strange])
        values = np.array(rows, dtype=np.float64).reshape(count, count)
        if symmetric and (unlike := _unlike(values, names)):
            problems.append(
                f"relations must be the same in both directions; those of {unlike} differ. Make them equal."
            )
        try:
            made = cls(tuple(names), values, "given")
        except ConfigError as error:
            raise ConfigError([*problems, *error.problems]) from None
        if problems:
            raise ConfigError(problems)
        return made

    def of(self, first: str, second: str) -> float:
        """Return the relation of one task to another.

        Raises:
            ConfigError: There is no such task.
        """
        return float(self.values[self._index(first), self._index(second)])

    def table(self) -> dict[str, dict[str, float]]:
        """Return the numbers by two names."""
        rows = zip(self.names, self.values.tolist(), strict=True)
        return {name: dict(zip(self.names, row, strict=True)) for name, row in rows}

    def subset(self, names: Sequence[str]) -> Relations:
        """Return the relations among some of the tasks, in their order.

        Raises:
            ConfigError: There is no such task, or a name stands twice.
        """
        rows = [self._index(name) for name in names]
        return Relations(tuple(names), self.values[np.ix_(rows, rows)], self.source, self.notes)

    def non_negative(self) -> Relations:
        """Return the same with 0 in the place of every number below it, as weights of penalties need it."""
        return Relations(self.names, np.maximum(self.values, 0.0), self.source, self.notes)

    def symmetric(self) -> Relations:
        """Return the mean of both directions of every pair, `(R + R^T) / 2`."""
        return Relations(self.names, (self.values + self.values.T) / 2, self.source, self.notes)

    def content(self) -> dict[str, object]:
        """Return all fields as plain JSON, as `save` writes them."""
        return {
            "format_version": FORMAT_VERSION,
            "source": self.source,
            "names": list(self.names),
            "values": self.values.tolist(),
            "notes": list(self.notes),
        }

    def save(self, path: str | Path) -> None:
        """Write the relations as JSON; every number comes back to the bit."""
        write_text(path, json_text(self.content(), indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Relations:
        """Read what `save` wrote.

        Raises:
            CheckpointError: The file holds no relations, or was written by a newer version of hf_mtl.
        """
        _, content = read_record(path, _WHAT, newest=FORMAT_VERSION)
        own = checked_record(path, _WHAT, TypeAdapter(_File), content)
        try:
            return cls(own.names, np.array(own.values), own.source, own.notes)
        except (ConfigError, ValueError) as error:
            raise CheckpointError(f"{path} does not hold {_WHAT} as hf_mtl writes them: {error}") from error

    def _index(self, name: str) -> int:
        if name not in self.names:
            raise ConfigError(
                f"there are no relations of a task {name!r}.{did_you_mean(name, self.names)} "
                f"Tasks: {listing(self.names)}."
            )
        return self.names.index(name)


@dataclass(frozen=True)
class _File:
    """The content of a file, without its version."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    source: Source
    names: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    notes: tuple[str, ...]


def _rows_by_name(
    table: Mapping[str, Mapping[str, float]], names: Sequence[str], *, symmetric: bool
) -> tuple[list[list[float]], list[str]]:
    """The rows that a mapping spells, 0 where it says nothing, and what is wrong with it."""
    strangers = dict.fromkeys(key for own in (table, *table.values()) for key in own if key not in names)
    problems = [
        f"relations name {key!r}, which is no task.{did_you_mean(key, names)} Tasks: {listing(names)}."
        for key in strangers
    ]
    rows = [[1.0 if one == other else 0.0 for other in names] for one in names]
    missing = []
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            found = table.get(one, {}).get(other)
            if found is None and symmetric:
                found = table.get(other, {}).get(one)
            if found is not None:
                rows[i][j] = found
            elif i < j or (i > j and not symmetric):
                missing.append((one, other))
    if missing:
        problems.append(
            f"relations must name every pair of tasks; missing: {_pairs(missing)}. Write 0 for tasks that have "
            f"nothing in common."
        )
    return rows, problems


def _no_numbers(rows: Sequence[Sequence[float]], names: Sequence[str]) -> list[str]:
    return [
        f"the relation of {one!r} to {other!r} must be a number, found {value!r}."
        for one, row in zip(names, rows, strict=True)
        for other, value in zip(names, row, strict=True)
        if not isinstance(value, float | np.floating) and ANY_NUMBER.problem(value) is not None
    ]


def _unlike(values: np.ndarray, names: Sequence[str]) -> str:
    """The pairs whose two directions differ, as text; empty when there is none."""
    apart = np.triu(~np.isclose(values, values.T, rtol=0, atol=_ROUNDING, equal_nan=True))
    return _pairs([(names[i], names[j]) for i, j in np.argwhere(apart)])


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    text = ", ".join(f"{one!r} and {other!r}" for one, other in pairs[:_MOST_SHOWN])
    return text if len(pairs) <= _MOST_SHOWN else f"{text}, and {len(pairs) - _MOST_SHOWN} more pairs"
