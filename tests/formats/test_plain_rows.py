"""Files that are read without `datasets`: row by row what `read_rows` gives, or left to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from format_files import FORMATS, jsonl
from test_formats import write

from hf_mtl.data import RowTable, read_plain_rows, read_rows
from hf_mtl.errors import DataError

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SHIPPED = sorted(RECIPES.glob("*/data/*.jsonl"))

CHANGED = {
    "a fraction and a whole number": jsonl({"a": 1}, {"a": 1.5}),
    "a number beyond 64 bits": jsonl({"a": 2**63}),
    "no number": '{"a": NaN}\n',
    "a list of dates": jsonl({"a": ["2020-01-01"]}),
    "a date in an object": jsonl({"a": {"b": "2020-01-01 10:00:00"}}),
    "objects of other keys": jsonl({"a": {"b": "x"}}, {"a": {"c": "x"}}),
    "an object and none": jsonl({"a": {"b": "x"}}, {"a": None}),
    "an empty object": jsonl({"a": {}}),
    "whole numbers and fractions in lists": jsonl({"a": [1]}, {"a": [1.5]}),
}
KEPT = {
    "a date": jsonl({"a": "2020-01-01"}, {"a": "2021-01-01"}),
    "a column that some rows lack": jsonl({"a": "x"}, {"b": 1, "a": "y"}, {"b": None}),
    "nothing": jsonl({"a": None, "b": "x"}),
    "true, numbers and fractions": jsonl(
        {"a": True, "b": -3, "c": 0.1}, {"a": False, "b": 2**63 - 1, "c": -1e-7}
    ),
    "lists": jsonl({"a": [], "b": [[1], []]}, {"a": ["x", None], "b": [[2, 3]]}, {"b": [[]]}),
    "objects": jsonl({"a": {"b": ["x"], "c": 1}}, {"a": {"b": [], "c": 2}}),
    "messages": jsonl({"a": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}),
    "a zero byte": jsonl({"a": "x\0y"}),
    "an emoji as a pair": '{"a": "\\ud83d\\ude00"}\n',
}


def rows_of(path: Path) -> list[dict[str, object]] | None:
    found = read_plain_rows(path)
    return None if found is None else [dict(row) for row in found]


@pytest.mark.parametrize("name", FORMATS)
def test_files_in_the_formats_that_people_have(name: str, tmp_path: Path) -> None:
    for path in write(tmp_path, FORMATS[name].files):
        if path.suffix and path.suffix not in (".png", ".jpg"):
            found = rows_of(path)
            assert found is None or found == read_rows(path).to_list()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_files_of_recipes_are_read_without_datasets(path: Path) -> None:
    assert rows_of(path) == read_rows(path).to_list()


@pytest.mark.parametrize("text", KEPT.values(), ids=list(KEPT))
def test_values_that_arrow_keeps(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text, encoding="utf-8")
    read = read_rows(path)
    assert rows_of(path) == [read[i] for i in range(len(read))]
    found = read_plain_rows(path)
    assert isinstance(found, RowTable) and found.column_names == read.column_names
    assert found.dataset().to_list() == read.to_list()


@pytest.mark.parametrize("text", CHANGED.values(), ids=list(CHANGED))
def test_values_that_arrow_changes_or_refuses(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text, encoding="utf-8")
    assert read_plain_rows(path) is None


def test_documents_whose_columns_are_text(tmp_path: Path) -> None:
    for rows, plain in (
        ([{"a": "x"}, {"a": "y", "b": "z"}], True),
        ([{"a": "x", "sent_at": 1700000000}], False),
    ):
        path = tmp_path / "a.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        found = rows_of(path)
        assert found == (read_rows(path).to_list() if plain else None)


def test_paths_of_images_are_left_to_datasets(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(jsonl({"image": "a.png", "label": "x"}), encoding="utf-8")
    assert rows_of(path) == [{"image": "a.png", "label": "x"}]  # there is no such image
    (tmp_path / "a.png").write_bytes(b"")
    assert rows_of(path) is None


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "x"}\n{"a": "x", "a": "y"}\n', encoding="utf-8")
    for read in (read_rows, read_plain_rows):
        with pytest.raises(DataError, match=r"a\.jsonl, line 2: the key 'a' is there twice in"):
            read(path)
