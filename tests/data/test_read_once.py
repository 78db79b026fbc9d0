"""A file that several tasks have rows in is read once while they are checked; a file that has changed is read again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hf_mtl.data.plain_rows import read_plain_rows
from hf_mtl.data.read_once import read_once, reading_once


def write(file: Path, texts: list[str]) -> Path:
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return file


def test_rows_are_read_once(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", ["a", "b"])
    with reading_once():
        first = read_plain_rows(file)
        with reading_once():
            assert read_plain_rows(file) is first
    assert read_plain_rows(file) is not first


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", ["a", "b"])
    with reading_once():
        read_plain_rows(file)
        was = file.stat()
        write(file, ["c", "d"])
        os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns + 1))
        found = read_plain_rows(file)
        assert found is not None
        assert found.column("text") == ["c", "d"]
        assert read_plain_rows(file, sample_by=None) is found


def test_what_is_read_in_another_way_is_another_thing(tmp_path: Path) -> None:
    file = tmp_path / "rows.txt"
    file.write_text("one\ntwo\n\nthree\n", encoding="utf-8")
    with reading_once():
        lines, paragraphs = (read_plain_rows(file, sample_by=by) for by in ("line", "paragraph"))
        assert lines is not None and paragraphs is not None
        assert len(lines) == 3 and len(paragraphs) == 2


def test_room_is_made_before_a_file_is_read(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c", "large")]
    for file in files:
        file.write_bytes(b"x" * (100 if file.name == "large" else 4))
    reads: list[str] = []

    def read(file: Path) -> str:
        def note() -> str:
            reads.append(file.name)
            return file.name

        return read_once(file, None, 10, note)

    with reading_once():
        for file in (files[0], files[1], files[0], files[2], files[0], files[1]):
            assert read(file) == file.name
        assert reads == ["a", "b", "c", "b"]  # b went first when c came: a had been asked for since
        for file in (files[3], files[3], files[0]):
            read(file)
        assert reads[4:] == ["large", "a"]


def test_an_error_is_not_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "rows", [])

    def fail() -> None:
        raise ValueError("broken")

    with reading_once():
        with pytest.raises(ValueError, match="broken"):
            read_once(file, None, 10, fail)
        assert read_once(file, None, 10, lambda: 3) == 3
