"""Rows from files: what is read, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_mtl.data import read_rows
from hf_mtl.errors import DataError

GOOD = '{"text": "a"}\n{"text": "b"}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", GOOD),
        ("rows.json", '[{"text": "a"}, {"text": "b"}]'),
        ("rows.csv", "text\na\nb\n"),
        ("rows.tsv", "text\tn\na\t1\nb\t2\n"),
    ],
)
def test_formats(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert list(read_rows(tmp_path / name)["text"]) == ["a", "b"]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(GOOD + '{"text": "c"\n')
    with pytest.raises(DataError) as caught:
        read_rows(file)
    assert str(caught.value) == (
        f"{file}, line 3: not valid JSON (Expecting ',' delimiter at column 13): '{{\"text\": \"c\"'. "
        f"Each line must be one JSON object."
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rows.jsonl",
            "[1, 2]\n",
            'line 1: expected one JSON object such as {"text": "..."}, found \'[1, 2]\'',
        ),
        ("rows.jsonl", "\n \n", "the file holds no rows"),
        ("rows.csv", "text\n", "the file holds no rows"),
        (
            "rows.xml",
            "a\n",
            "unknown format '.xml' (write its records as JSON lines); readable are '.arrow', '.bio',",
        ),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / name)
    assert message in str(caught.value)


def test_a_missing_file_lists_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").write_text(GOOD)
    with pytest.raises(DataError, match=r"no data file .*review.jsonl'\. Files beside it: 'reviews.jsonl'"):
        read_rows(tmp_path / "review.jsonl")
