"""Paths of images in data files become images where the files are there, and stay text elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image as Pictures

from hf_mtl.data.files import read_rows, stream_rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Pictures.new("L", (4, 4), color=i).save(tmp_path / "pictures" / f"{i}.PNG")
    return tmp_path


def _file(folder: Path, *paths: str | None) -> Path:
    file = folder / "rows.jsonl"
    rows = ({"text": "see a.png", "file": path, "number": i} for i, path in enumerate(paths))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_stored_and_streamed(folder: Path) -> None:
    file = _file(folder, "pictures/0.PNG", None, str(folder / "pictures" / "2.PNG"))
    stored = read_rows(file)
    assert stored.column_names == ["text", "file", "number"]
    decoded = stored.cast_column("file", stored.features["file"].__class__())["file"]
    assert [None if image is None else image.getpixel((0, 0)) for image in decoded] == [0, None, 2]
    assert [row["file"] for row in stream_rows(file)] == stored["file"][:]


@pytest.mark.parametrize("paths", [("pictures/0.PNG", "pictures/7.PNG"), ("pictures/0.PNG", "a word")])
def test_other_columns_stay_text(folder: Path, paths: tuple[str, ...]) -> None:
    file = _file(folder, *paths)
    assert read_rows(file)["file"][:] == list(paths)
    assert [row["file"] for row in stream_rows(file)] == list(paths)
