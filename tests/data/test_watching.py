"""A long file shows how far it has been read, on a terminal alone."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from hf_mtl.data import watching
from hf_mtl.data.decoding import UTF8, numbered_lines
from hf_mtl.data.plain_rows import read_plain_rows


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("longest", "shown"), [(1, True), (1_000_000, False)])
def test_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest: int, shown: bool) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\n' * 20, encoding="utf-8")
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(watching, "_LONG", longest)
    monkeypatch.setattr(watching, "_LINES", 1)
    assert [*numbered_lines(file, UTF8)] == [(n, '{"a": 1}\n') for n in range(1, 21)]
    assert ("Reading rows.jsonl" in terminal.getvalue()) == shown
    quiet = io.StringIO()
    monkeypatch.setattr(sys, "stderr", quiet)
    assert len([*numbered_lines(file, UTF8)]) == 20 and quiet.getvalue() == ""


def test_rows_of_a_long_file_are_not_kept_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    line = '{"text": "' + "a" * 980 + '"}\n'
    file.write_text(line * 8_000, encoding="utf-8")
    assert file.stat().st_size < 8_000_000
    assert read_plain_rows(file) is not None
    file.write_text(line * 8_200, encoding="utf-8")
    assert read_plain_rows(file) is None
