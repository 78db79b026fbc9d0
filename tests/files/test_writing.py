"""Writes that the system refuses: what the error says, and what is still there."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_mtl.errors import ConfigError, WriteError
from hf_mtl.files import (
    SeveralWrites,
    check_folder,
    check_target,
    folder_problem,
    make_folder,
    noting,
    staged,
    write_text,
    writing,
)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file, link = tmp_path / "a.json", tmp_path / "link.json"
    write_text(file, "old\n")
    file.chmod(0o640)
    link.symlink_to(file)
    before = file.stat().st_ino
    write_text(link, "new\r\n ü")
    assert file.read_bytes() == "new\r\n ü".encode() and file.stat().st_ino != before
    assert link.is_symlink() and stat.S_IMODE(file.stat().st_mode) == 0o640
    assert _names(tmp_path) == ["a.json", "link.json"]


def _in_a_folder_that_is_missing(folder: Path) -> str:
    write_text(folder / "x" / "y" / "a", "a")
    return ""


def _where_a_folder_is(folder: Path) -> None:
    (folder / "a").mkdir()
    write_text(folder / "a", "a")


def _below_a_file(folder: Path) -> None:
    (folder / "f").touch()
    write_text(folder / "f" / "a", "a")


def _folder_below_a_file(folder: Path) -> None:
    (folder / "f").touch()
    make_folder(folder / "f" / "a")


def _folder_where_a_file_is(folder: Path) -> None:
    (folder / "f").touch()
    make_folder(folder / "f")


def _too_long(folder: Path) -> None:
    write_text(folder / ("x" * 300), "a")


@pytest.mark.parametrize(
    ("write", "wanted"),
    [
        (_in_a_folder_that_is_missing, "{}/x/y/a could not be written: there is no folder {}/x. Make it, or"),
        (_where_a_folder_is, "{}/a could not be written: {}/a is a folder. Move it away, or"),
        (_below_a_file, "{}/f/a could not be written: {}/f is a file, not a folder. Move it away, or"),
        (_folder_below_a_file, "{}/f/a could not be written: {}/f is a file, not a folder."),
        (_folder_where_a_file_is, "{}/f could not be written: {}/f is a file"),
        (_too_long, "could not be written: File name too long"),
    ],
)
def test_the_message_says_what_is_in_the_way(
    tmp_path: Path, write: Callable[[Path], object], wanted: str
) -> None:
    with pytest.raises(WriteError) as caught:
        write(tmp_path)
    assert wanted.replace("{}", str(tmp_path)) in str(caught.value)
    assert not [name for name in _names(tmp_path) if ".new-" in name]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no device that is always full")
def test_disk_full() -> None:
    with pytest.raises(
        WriteError, match=r"^/dev/full could not be written: the disk is full \(No space left"
    ) as caught:
        write_text("/dev/full", "a")
    assert "are free on its disk. Make room there" in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(WriteError, match=f"user {os.geteuid()} may not write there: Permission denied"):
        write_text(tmp_path / "a", "a")
    assert (
        folder_problem(tmp_path / "x") == f"this user may not write into {tmp_path}; change its permissions"
    )
    tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    "text",
    [
        "Error while serializing: I/O error: No space left on device (os error 28)",
        "[('a', 'b', '[Errno 28] No')]",
    ],
)
def test_libraries_that_have_the_reason_in_their_text(tmp_path: Path, text: str) -> None:
    with pytest.raises(WriteError, match="the disk is full"), writing(tmp_path / "a"):
        raise Exception(text)  # as tokenizers does


@pytest.mark.parametrize(
    "error", [ValueError("x"), BrokenPipeError(32, "x"), ConfigError("x"), OSError("no such model")]
)
def test_other_errors_pass(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as caught, writing(tmp_path / "a"):
        raise error
    assert caught.value is error


def test_all_are_tried_and_all_are_named(tmp_path: Path) -> None:
    stale, writes = tmp_path / "stale", SeveralWrites()
    stale.touch()
    with writes.one(stale):
        write_text(tmp_path / "no" / "a", "a")
    with writes.one():
        write_text(tmp_path / "b", "b")
    with writes.one():
        write_text(tmp_path / "no" / "c", "c")
    with pytest.raises(WriteError) as caught:
        writes.check("The rest is whole.")
    text = str(caught.value)
    assert (
        text.startswith(f"{tmp_path}/no/a could not")
        and "/no/c, for the same reason. The rest is whole. Make" in text
    )
    assert _names(tmp_path) == ["b"]


def test_notes_stand_before_what_to_do(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match="is a folder. One. Two. Move it away"),
        noting("Two."),
        noting("One."),
    ):
        write_text(tmp_path, "a")


def _old(folder: Path) -> dict[str, str]:
    write_text(folder / "manifest", "old")
    for place in ("a", "b"):
        make_folder(folder / place)
        write_text(folder / place / "weights", "old")
    write_text(folder / "a" / "extra", "old")
    return _contents(folder)


def _contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def _write_new(new: Path) -> None:
    for place in ("a", "b", "c/d"):
        make_folder(new / place)
        write_text(new / place / "weights", "new")
    write_text(new / "manifest", "new")


def test_staged_files_take_their_places(tmp_path: Path) -> None:
    _old(tmp_path)
    with staged(tmp_path, gone=["a/extra", "b/extra"]) as new:
        _write_new(new)
        assert (tmp_path / "a" / "weights").read_text() == "old"
    assert _contents(tmp_path) == dict.fromkeys(["manifest", "a/weights", "b/weights", "c/d/weights"], "new")


def test_staged_files_of_which_one_fails(tmp_path: Path) -> None:
    before = _old(tmp_path)
    wanted = f"{tmp_path}/a/b/c could not be written: there is no folder {tmp_path}/a/b."
    with pytest.raises(WriteError, match=wanted), staged(tmp_path) as new:
        _write_new(new)
        write_text(new / "a" / "b" / "c", "new")
    assert _contents(tmp_path) == before


def test_staged_files_of_which_the_last_cannot_take_its_place(tmp_path: Path) -> None:
    before = _old(tmp_path)
    (tmp_path / "manifest").unlink()
    (tmp_path / "manifest" / "of").mkdir(parents=True)
    names = _names(tmp_path)
    wanted = "manifest could not be written: .*manifest is a folder"
    with pytest.raises(WriteError, match=wanted), staged(tmp_path, gone=["a/extra"]) as new:
        _write_new(new)
    assert _contents(tmp_path) == {name: text for name, text in before.items() if name != "manifest"}
    assert _names(tmp_path) == names


def test_a_folder_that_was_made_for_nothing_goes(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "new") as new:
        write_text(new / "a", "a")
        raise ZeroDivisionError
    assert _names(tmp_path) == []


def test_targets_are_looked_at_before_the_work(tmp_path: Path) -> None:
    check_target(tmp_path / "a", named_by="--output")
    check_target(tmp_path / "x" / "a", named_by="--output", makes_folder=True)
    with pytest.raises(
        ConfigError, match=f"--output: {tmp_path}/x/a cannot be written: there is no folder {tmp_path}/x; "
    ):
        check_target(tmp_path / "x" / "a", named_by="--output")
    with pytest.raises(ConfigError, match="it is a folder; expected the name of a file"):
        check_target(tmp_path, named_by="--output")
    (tmp_path / "f").touch()
    for makes_folder in (False, True):
        with pytest.raises(
            ConfigError, match=f"{tmp_path}/f is a file, not a folder; move it away, or choose another"
        ):
            check_target(tmp_path / "f" / "a", named_by="--output", makes_folder=makes_folder)
    assert _names(tmp_path) == ["f"]


@pytest.mark.parametrize(
    ("name", "reason"), [("x" * 300, os.strerror(errno.ENAMETOOLONG)), ("a\0b", "null")], ids=["long", "NUL"]
)
def test_a_name_that_nothing_can_have_is_found_before_the_work(
    tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match="--output: .*nothing can be called so") as caught:
        check_target(tmp_path / name, named_by="--output")
    assert reason in str(caught.value)
    for folder in (tmp_path / name, tmp_path / name / "run"):
        with pytest.raises(ConfigError, match="--output-dir: .*nothing can be called so"):
            check_folder(folder, named_by="--output-dir")
    with pytest.raises(ConfigError, match=f"{tmp_path}/f is a file, not a folder"):
        (tmp_path / "f").touch()
        check_folder(tmp_path / "f" / "run", named_by="--output-dir")
