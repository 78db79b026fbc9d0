"""Rows in the forms in which people have them in Python: data sets, lists, columns, and names of files and data sets.

>>> as_rows([{"text": "A joy.", "label": 1}, {"text": "A bore."}]).to_list()
[{'text': 'A joy.', 'label': 1}, {'text': 'A bore.', 'label': None}]
>>> as_rows({"lemma": ["run", "walk"], "past": ["ran", "walked"]}).num_rows
2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict

from hf_mtl.data.sources import load_rows
from hf_mtl.errors import ConfigError, DataError, listing

__all__ = ["EVAL_SPLITS", "SPLITS", "RowsLike", "as_rows", "train_and_eval"]

RowsLike: TypeAlias = (
    Dataset
    | IterableDataset
    | DatasetDict
    | IterableDatasetDict
    | str
    | Path
    | Sequence[Mapping[str, Any]]  # Any: here and below, whatever a row holds
    | Mapping[str, Sequence[Any]]
)

EVAL_SPLITS: Final = ("validation", "valid", "val", "eval", "dev")
SPLITS: Final = ("train", *EVAL_SPLITS, "test")

_UNFIT: Final = (TypeError, ValueError, NotImplementedError, OverflowError)  # what Arrow's errors derive from
_FORMS: Final = (
    "expected a datasets.Dataset or IterableDataset, a list of dicts, a dict of columns, or what load_rows takes: a "
    "file, a folder, a Hub id or asset:NAME"
)
_LOAD_ROWS: Final = (
    "hf_mtl.data.load_rows takes split=..., name=... and revision=... too; pass what it returns."
)


def as_rows(given: RowsLike) -> Dataset | IterableDataset:
    """The rows as a data set.

    Args:
        given: Rows in any of the forms of `RowsLike`; a text or a path is for `load_rows`.

    Raises:
        ConfigError: It is of another form, or holds several splits.
        DataError: There is no such file, or rows do not fit together.
    """
    if isinstance(given, Dataset | IterableDataset):
        return given
    if isinstance(given, str | Path):
        try:
            return load_rows(given)
        except ConfigError as error:
            raise ConfigError([f"{problem} {_LOAD_ROWS}" for problem in error.problems]) from error
    if isinstance(given, DatasetDict | IterableDatasetDict):
        return _only_split(given)
    if isinstance(given, Mapping):
        return _from_columns(given)
    if isinstance(given, list | tuple):
        return _from_list(given)
    raise ConfigError(f"{_FORMS}; found {type(given).__module__}.{type(given).__name__}.{_hint(given)}")


def train_and_eval(
    splits: DatasetDict | IterableDatasetDict,
) -> tuple[Dataset | IterableDataset, Dataset | IterableDataset | None]:
    """The splits that a task learns from and is measured on.

    The rows to measure on are those of the one split of `EVAL_SPLITS`, else those of `test`.

    Raises:
        ConfigError: There is no split `train`, or it is not clear which one is for evaluation.
    """
    held_out = [name for name in splits if name in EVAL_SPLITS] or [name for name in splits if name == "test"]
    if "train" not in splits or len(held_out) > 1 or not set(splits) <= set(SPLITS):
        raise ConfigError(
            f"the splits are {listing(map(str, splits))}; expected 'train' and one of "
            f"{listing((*EVAL_SPLITS, 'test'))}. Say which is which: Task(train=rows['...'], eval=rows['...'])."
        )
    return splits["train"], splits[held_out[0]] if held_out else None


def _only_split(splits: DatasetDict | IterableDatasetDict) -> Dataset | IterableDataset:
    names = [str(name) for name in splits]
    if len(names) != 1:
        raise ConfigError(
            f"it has the splits {listing(names)}; pass one of them, such as rows[{names[0]!r}]."
            if names
            else "it has no splits; pass rows."
        )
    rows: Dataset | IterableDataset = splits[names[0]]
    return rows


def _from_columns(columns: Mapping[str, Sequence[Any]]) -> Dataset:
    odd = [
        str(name)
        for name, values in columns.items()
        if not isinstance(values, Sequence) or isinstance(values, str)
    ]
    if odd or not columns:
        raise ConfigError(
            f"a dict of rows is one of columns, {{'text': [...], 'label': [...]}}; found "
            f"{'no list under ' + listing(odd) if odd else 'an empty one'}."
        )
    sizes = {str(name): len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(
            f"the columns have different lengths: {sizes}. Every row needs a value in every column."
        )
    return _checked({str(name): list(values) for name, values in columns.items()})


def _from_list(rows: Sequence[Mapping[str, Any]]) -> Dataset:
    if not rows:
        raise DataError("the list is empty; at least one row is needed.")
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                f"row {number} is of type {type(row).__name__}; expected a dict of its columns' values."
            )
    names = dict.fromkeys(
        name for row in rows for name in row
    )  # from_list would take those of the first row alone
    return _checked({str(name): [row.get(name) for row in rows] for name in names})


def _checked(columns: Mapping[str, list[Any]]) -> Dataset:
    """The table; the message names a column that no single type fits."""
    try:
        return Dataset.from_dict(dict(columns))
    except _UNFIT as error:
        bad = next((name for name, values in columns.items() if not _fits(values)), None)
        where = "" if bad is None else f"the column {bad!r}: "
        raise DataError(
            f"{where}its values are not of one type: {error}. Bring them to one type in every row."
        ) from error


def _fits(values: list[Any]) -> bool:
    try:
        Dataset.from_dict({"values": values})
    except _UNFIT:
        return False
    return True


def _hint(given: object) -> str:
    """The way from the tables of other packages, by the package's name: none of them is imported for it."""
    package = type(given).__module__.partition(".")[0]
    ways = {
        "pandas": " Write Dataset.from_pandas(frame, preserve_index=False).",
        "polars": " Write Dataset.from_polars(frame).",
        "pyarrow": " Write Dataset(table).",
        "torch": " Rows are texts and labels here, not tensors: pass what they were made of.",
        "builtins": " Write rows = list(...) where rows come one after the other."
        if _is_iterator(given)
        else "",
    }
    return ways.get(package, "")


def _is_iterator(given: object) -> bool:
    return type(given).__name__ in ("generator", "map", "filter", "zip")
