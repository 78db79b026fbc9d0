"""The examples of all rows of a data set, kept as a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from datasets import Dataset, Features, List, Value

from hf_mtl.data.examples import Example
from hf_mtl.data.images import with_raw_images
from hf_mtl.data.row_cache import writing_cache
from hf_mtl.data.rows import Row
from hf_mtl.data.skipping import SkippedRows, bad_row
from hf_mtl.errors import DataError

__all__ = ["EXAMPLE_FEATURES", "encode_rows"]

_ROWS_PER_PROCESS = 20_000  # fewer are encoded sooner than a process is started


EXAMPLE_FEATURES = Features(
    {
        "row": Value("int64"),
        "input_ids": List(Value("int32")),
        "label_positions": List(Value("int32")),
        "label_ids": List(Value("int32")),
        "targets": List(Value("float64")),
        "weight": Value("float64"),
        "token_types": List(Value("int8")),
        "truncated": Value("bool"),
        "merged": Value("bool"),
    }
)
_SKIPPED = {
    "reason": Value("string"),
    "problem": Value("string"),
}  # why a row is skipped; None where it is not
_LINE_FEATURES = Features({**EXAMPLE_FEATURES, **_SKIPPED})
_NOTHING = Example([], [], [])


def encode_rows(
    rows: Dataset,
    encode: Callable[[Row], list[Example]],
    *,
    where: str,
    skipped: SkippedRows | None = None,
    processes: int | None = None,
) -> Dataset:
    """Encode every row of a data set, once; `datasets` caches the result where the rows come from a file.

    Args:
        rows: The raw rows.
        encode: Turns one row into sequences; none for a row without a label.
        where: What the messages call this data set, for example `task 'sentiment', train`.
        skipped: Counts rows that cannot be used, which are then left out; without it the first one raises.
        processes: How many work at it; default: as many as there are processors, for 20,000 rows and more each.

    Returns:
        A data set with a line per sequence, in order: the fields of `Example`, and `row`, the row's number.

    Raises:
        DataError: With the row's number, if a row cannot be used, or none of them has a label or can be used.
    """
    if len(rows) == 0:
        raise DataError(f"{where}: the data set is empty; at least one row is needed.")
    enough = min(os.cpu_count() or 1, len(rows) // _ROWS_PER_PROCESS) if processes is None else processes
    with writing_cache():
        encoded = with_raw_images(rows).map(
            partial(_encode_batch, encode=encode, where=where, skips=skipped is not None),
            batched=True,
            batch_size=200,
            with_indices=True,
            remove_columns=rows.column_names,
            features=_LINE_FEATURES,
            num_proc=enough if enough > 1 else None,
            desc=f"Reading {where}",
        )
    if skipped is not None:
        encoded = _without_skipped(encoded, skipped)
    if len(encoded) == 0:
        lacking = "has a label" if not skipped else f"can be used: {skipped}"
        raise DataError(f"{where}: none of the {len(rows)} rows {lacking}.")
    return encoded.remove_columns(list(_SKIPPED))


def _without_skipped(encoded: Dataset, skipped: SkippedRows) -> Dataset:
    """The lines of the rows that can be used; the others are counted."""
    reasons = encoded["reason"]
    bad = [line for line, reason in enumerate(reasons) if reason is not None]
    if not bad:
        return encoded
    for line in encoded.select(bad).select_columns(["row", *_SKIPPED]):
        skipped.add(line["row"], DataError(line["problem"], reason=line["reason"]))
    return encoded.select([line for line, reason in enumerate(reasons) if reason is None])


def _encode_batch(
    batch: Mapping[str, list[Any]],  # Any: a row's values are whatever the user's data set holds
    numbers: list[int],
    *,
    encode: Callable[[Row], list[Example]],
    where: str,
    skips: bool,
) -> dict[str, list[Any]]:
    lines: dict[str, list[Any]] = {name: [] for name in _LINE_FEATURES}
    for i, number in enumerate(numbers):
        try:
            examples = encode({name: column[i] for name, column in batch.items()})
        except DataError as error:
            if not skips:
                raise bad_row(f"{where}, row {number}", error) from error
            _add(lines, number, _NOTHING, error.reason, str(error))
            continue
        for example in examples:
            _add(lines, number, example, None, None)
    return lines


def _add(
    lines: dict[str, list[Any]],  # Any: as above
    number: int,
    example: Example,
    reason: str | None,
    problem: str | None,
) -> None:
    for name, value in {"row": number, "reason": reason, "problem": problem}.items():
        lines[name].append(value)
    for each in fields(example):
        lines[each.name].append(getattr(example, each.name))
