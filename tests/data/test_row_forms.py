"""Rows in the forms in which people have them: what each becomes, and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDatasetDict

from hf_mtl.data import as_rows, load_rows, train_and_eval
from hf_mtl.errors import ConfigError, DataError

ROWS = [{"text": "A joy.", "label": 1}, {"text": "A bore.", "label": 0}]
TABLE = Dataset.from_list(ROWS)


def test_every_form_becomes_the_same_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    TABLE.to_json(file)
    TABLE.save_to_disk(tmp_path / "saved")
    forms: list[Any] = [
        TABLE, ROWS, tuple(ROWS), {"text": ["A joy.", "A bore."], "label": (1, 0)}, file, str(file),
        tmp_path / "saved", DatasetDict({"train": TABLE}),
    ]  # fmt: skip
    for form in forms:
        rows = as_rows(form)
        assert isinstance(rows, Dataset) and rows.to_list() == ROWS
    stream = load_rows(file, streaming=True)
    assert as_rows(stream) is stream


def test_a_column_that_the_first_row_lacks_is_kept() -> None:
    """`Dataset.from_list` drops it without a word."""
    rows = [{"text": "a"}, {"text": "b", "tools": "[]"}]
    assert "tools" not in Dataset.from_list(rows).column_names
    assert as_rows(rows)["tools"] == [None, "[]"]


class _Frame:
    __module__ = "pandas.core.frame"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([], DataError, "the list is empty"),
        (["a"], DataError, "row 0 is of type str; expected a dict"),
        ([{"a": 1}, {"a": "x"}], DataError, "the column 'a': its values are not of one type"),
        ({"a": [1, 2], "b": [1]}, DataError, r"different lengths: \{'a': 2, 'b': 1\}"),
        ({"a": "text"}, ConfigError, "found no list under 'a'"),
        ({}, ConfigError, "found an empty one"),
        (DatasetDict({"train": TABLE, "test": TABLE}), ConfigError, "it has the splits 'test', 'train'"),
        (DatasetDict(), ConfigError, "it has no splits"),
        (7, ConfigError, "expected a datasets.Dataset .* found builtins.int"),
        ((row for row in ROWS), ConfigError, r"Write rows = list\(...\)"),
        (_Frame(), ConfigError, "Dataset.from_pandas"),
        (torch.zeros(2), ConfigError, "not tensors"),
        ("rows.jsonl", DataError, "no data file 'rows.jsonl'"),
        ("no such thing", ConfigError, "is not understood.*load_rows takes split="),
    ],
)
def test_what_rows_are_not(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_rows(given)


def test_the_splits_of_a_data_set() -> None:
    other = TABLE.select([0])
    for names, held_out in (
        (("train", "test"), "test"),
        (("train", "validation", "test"), "validation"),
        (("train", "dev"), "dev"),
        (("train",), None),
    ):
        splits = DatasetDict({name: TABLE if name == "train" else other for name in names})
        train, evaluated = train_and_eval(splits)
        assert train is splits["train"]
        assert evaluated is (None if held_out is None else splits[held_out])
    for names in (("train", "validation", "dev"), ("test",), ("train", "extra")):
        with pytest.raises(ConfigError, match=r"the splits are .* Say which is which"):
            train_and_eval(IterableDatasetDict(dict.fromkeys(names)))
