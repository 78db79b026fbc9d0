"""Paths of images in data files become images where files are there, stay in the file's folder, and else stay text."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from datasets import Dataset, Features
from datasets import Image as Images
from PIL import Image as Pictures

from hf_mtl.data.files import read_rows, stream_rows
from hf_mtl.data.images import with_raw_images
from hf_mtl.data.plain_rows import read_plain_rows
from hf_mtl.errors import DataError


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


def test_a_file_that_is_missing_is_found_with_its_row(folder: Path) -> None:
    file = _file(folder, "pictures/0.PNG", "pictures/7.PNG")
    missing = str(folder / "pictures" / "7.PNG")
    assert [row["file"]["path"] for row in stream_rows(file)] == [str(folder / "pictures" / "0.PNG"), missing]
    assert read_rows(file)["file"][1] == {"bytes": None, "path": missing}


@pytest.mark.parametrize("outside", ["../1.PNG", "pictures/../../1.PNG", "/var/1.PNG"])
def test_no_path_leads_out_of_the_folder(folder: Path, outside: str) -> None:
    file = _file(folder, "pictures/0.PNG", outside)
    with pytest.raises(
        DataError, match=rf"row 1, column 'file': the image '{outside}' leads out of the data file's folder"
    ):
        read_rows(file)
    with pytest.raises(DataError, match="leads out of the data file's folder"):
        list(stream_rows(file))


def _parquet(folder: Path, images: list[dict[str, object] | None]) -> Path:
    """Without the bytes of the files, which `Dataset.to_parquet` would put in."""
    features = Features({"image": Images()})
    table = Dataset.from_dict({"image": images}, features=features).data.table
    pq.write_table(table.replace_schema_metadata(features.arrow_schema.metadata), folder / "rows.parquet")
    return folder / "rows.parquet"


@pytest.mark.parametrize(
    "outside", ["/var/1.PNG", "../1.PNG", "hf://datasets/a/b/1.png", "zip://1.PNG::1.zip"]
)
def test_an_object_with_a_path_stays_inside_too(folder: Path, outside: str) -> None:
    inside: dict[str, object] = {"bytes": None, "path": str(folder / "pictures" / "0.PNG")}
    images: list[dict[str, object] | None] = [inside, None, {"bytes": None, "path": outside}]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps({"image": image, "n": 1}) + "\n" for image in images))
    assert read_plain_rows(file) is None
    for each in (file, _parquet(folder, images)):
        for read in (read_rows, lambda path: list(stream_rows(path))):
            with pytest.raises(
                DataError, match=rf"row 2, column 'image': the image '{outside}' (leads out|is an add)"
            ):
                read(each)


def test_an_image_with_bytes_may_have_any_path(folder: Path) -> None:
    raw = (folder / "pictures" / "2.PNG").read_bytes()
    file = _parquet(folder, [{"bytes": raw, "path": "/home/somebody/1.png"}])
    assert [row["image"].getpixel((0, 0)) for row in read_rows(file)] == [2]
    assert [row["image"]["bytes"] for row in with_raw_images(stream_rows(file))] == [raw]


def test_a_folder_that_is_linked_is_in_the_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "linked").symlink_to(folder / "pictures")
    assert read_rows(_file(elsewhere, "linked/0.PNG"))["file"][0]["path"] == str(
        elsewhere / "linked" / "0.PNG"
    )


@pytest.mark.parametrize(
    "paths", [("pictures/7.PNG", "pictures/8.PNG"), ("pictures/0.PNG", "a word"), ("x" * 5_000 + ".png",)]
)
def test_other_columns_stay_text(folder: Path, paths: tuple[str, ...]) -> None:
    file = _file(folder, *paths)
    assert read_rows(file)["file"][:] == list(paths)
    assert [row["file"] for row in stream_rows(file)] == list(paths)
