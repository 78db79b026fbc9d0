"""Disks that fill up, files that break, processes that are killed: what is there afterwards is whole."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from forked_writer import ForkedWriter, version_of, write
from small_disk import disk_of

from hf_mtl.errors import CheckpointDamagedError, CheckpointError, CheckpointWriteError
from hf_mtl.training.checkpoints import (
    INDEX_FILE,
    last_checkpoint,
    read_checkpoint,
    remove_partials,
    write_checkpoint,
)

KILLS = 20


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can enter, which those of `tmp_path` are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    with disk_of(2, tmp_path / "disk") as folder:
        yield folder


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- a write that fails ----


def _large_tensors(folder: Path) -> None:
    write_checkpoint(folder, {"w": {"w": torch.zeros(1_000_000)}}, {})


def _large_document(folder: Path) -> None:
    write_checkpoint(folder, {}, {"state": "x" * 4_000_000})


def _large_adapters(folder: Path) -> None:
    write_checkpoint(folder, {}, {}, also=lambda partial: _fill(partial / "adapter.bin"))


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as stream:
        while stream.write(bytes(100_000)) == 100_000:
            pass
        stream.write(b"x")


@pytest.mark.parametrize("too_large", [_large_tensors, _large_document, _large_adapters])
def test_disk_full(small_disk: Path, too_large: Callable[[Path], None]) -> None:
    with pytest.raises(CheckpointWriteError, match="There is no earlier checkpoint"):
        too_large(small_disk / "checkpoint-0")
    write(str(small_disk / "checkpoint-1"), 1)
    with pytest.raises(CheckpointWriteError) as caught:
        too_large(small_disk / "checkpoint-2")
    text = str(caught.value)
    assert text.startswith(f"{small_disk}/checkpoint-2 could not be written: the disk is full")
    assert "MB; 2.1 MB are free" in text or "MB; 2.0 MB are free" in text
    assert f"The last checkpoint, {small_disk}/checkpoint-1, is whole and usable." in text
    assert _names(small_disk) == ["checkpoint-1"]
    assert version_of(small_disk / "checkpoint-1") == 1


def test_disk_full_while_one_is_replaced(small_disk: Path) -> None:
    write(str(small_disk / "checkpoint-1"), 1, 60_000)  # 2 x 480 kB, twice of which is not there
    with pytest.raises(CheckpointWriteError, match="checkpoint-1, is whole and usable"):
        write(str(small_disk / "checkpoint-1"), 2, 90_000)
    assert _names(small_disk) == ["checkpoint-1"]
    assert version_of(small_disk / "checkpoint-1") == 1


def test_file_size_limit(tmp_path: Path, writer: ForkedWriter) -> None:
    write(str(tmp_path / "checkpoint-1"), 1)
    status, text = writer.do("write_limited", str(tmp_path / "checkpoint-2"), 2, 100_000, 50_000)
    assert status == 1
    assert "CheckpointWriteError" in text and "ulimit -f" in text and "It needs at least 1.6 MB" in text
    assert _names(tmp_path) == ["checkpoint-1"]


def test_no_permission_to_write(open_folder: Path, writer: ForkedWriter) -> None:
    write(str(open_folder / "checkpoint-1"), 1)
    open_folder.chmod(0o555)
    status, text = writer.do("as_nobody", "write", str(open_folder / "checkpoint-2"), 2)
    open_folder.chmod(0o755)
    assert status == 1
    assert "CheckpointWriteError" in text and "may not write there: Permission denied" in text
    assert f"{open_folder}/checkpoint-1, is whole and usable" in text
    assert _names(open_folder) == ["checkpoint-1"]


def test_no_permission_to_read(open_folder: Path, writer: ForkedWriter) -> None:
    write(str(open_folder / "checkpoint-1"), 1)
    write(str(open_folder / "checkpoint-2"), 2)
    assert writer.do("as_nobody", "find_last", str(open_folder)) == (0, "checkpoint-2")
    (open_folder / "checkpoint-2" / "state.json").chmod(0o000)
    status, text = writer.do("as_nobody", "find_last", str(open_folder))
    assert status == 1  # and not checkpoint-1, which would throw work away
    assert "checkpoint-2/state.json cannot be read: Permission denied" in text


def test_no_permission_to_lock(open_folder: Path, writer: ForkedWriter) -> None:
    open_folder.chmod(0o555)
    status, text = writer.do("as_nobody", "hold", str(open_folder), "unused")
    open_folder.chmod(0o755)
    assert status == 1
    assert "the run's folder must be writable, found: Permission denied" in text


# ---- files that are not as they were ----


@pytest.fixture
def two(tmp_path: Path) -> Path:
    for version in (1, 2):
        write(str(tmp_path / f"checkpoint-{version}"), version)
    return tmp_path


FILES = [INDEX_FILE, "adapters/one/weights.txt", "moments.safetensors", "state.json"]


@pytest.mark.parametrize("name", FILES)
def test_truncated_file(two: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    file = two / "checkpoint-2" / name
    os.truncate(file, file.stat().st_size - 1 if name != INDEX_FILE else 40)
    with pytest.raises(CheckpointDamagedError, match=f"{name}.*expected"):
        read_checkpoint(two / "checkpoint-2")
    assert last_checkpoint(two) == two / "checkpoint-1"
    assert "checkpoint-2 is passed over" in caplog.text and name in caplog.text


@pytest.mark.parametrize("name", FILES)
def test_flipped_bit(two: Path, name: str) -> None:
    file = two / "checkpoint-2" / name
    whole = file.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            read_checkpoint(two / "checkpoint-2")
        except CheckpointDamagedError as error:
            assert name in str(error)
        else:  # blanks between the words of the index carry nothing
            assert name == INDEX_FILE and whole[place : place + 1].isspace()
    file.write_bytes(whole)
    assert version_of(two / "checkpoint-2") == 2


def test_missing_file(two: Path) -> None:
    (two / "checkpoint-2" / "state.json").unlink()
    with pytest.raises(CheckpointDamagedError, match="state.json: expected a file of 13 bytes, found none"):
        read_checkpoint(two / "checkpoint-2")


def test_damaged_checkpoint_is_written_anew(two: Path) -> None:
    os.truncate(two / "checkpoint-2" / "state.json", 3)
    write(str(two / "checkpoint-2"), 22)
    assert version_of(two / "checkpoint-2") == 22


def _edit_index(folder: Path, **changes: object) -> None:
    file = folder / INDEX_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        (7, "has format 7; this hf_mtl reads up to 3. Upgrade hf-mtl .*written by 9.0"),
        (1, r"has format 1; this hf_mtl resumes from format 3. Finish .*wrote it \(9.0\), or start anew"),
    ],
)
def test_other_formats(two: Path, version: int, wanted: str) -> None:
    _edit_index(two / "checkpoint-2", format_version=version, hf_mtl_version="9.0")
    with pytest.raises(CheckpointError, match=wanted):
        read_checkpoint(two / "checkpoint-2")
    with pytest.raises(CheckpointError, match=wanted):
        last_checkpoint(two)  # an older one would silently throw work away


def test_index_cannot_name_files_elsewhere(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_mtl.training.checkpoints.index._digest", lambda _: "trusted")
    for path in ("../checkpoint-1/state.json", "/etc/passwd"):
        _edit_index(two / "checkpoint-2", files={path: {"size": 1, "sha256": "0"}}, sha256="trusted")
        with pytest.raises(CheckpointError, match="names files outside"):
            read_checkpoint(two / "checkpoint-2")


def test_folders_that_are_no_checkpoints(two: Path, caplog: pytest.LogCaptureFixture) -> None:
    stock, empty = two / "checkpoint-3", two / "checkpoint-4"
    stock.mkdir()
    empty.mkdir()
    for name in ("optimizer.pt", "trainer_state.json"):
        (stock / name).touch()
    (two / "file").touch()
    for folder, message in {
        stock: "stock Trainer of transformers \\(found 'optimizer.pt', 'trainer_state.json'\\)",
        empty: "expected 'checkpoint.json' in it, found nothing",
        two: "is a run's folder, not a checkpoint; its newest one is checkpoint-4",
        two / "checkpoint-9": "no such folder. Checkpoints beside it: 'checkpoint-1', 'checkpoint-2'",
        two / "file": "expected the folder of a checkpoint, found a file",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(folder)
    assert last_checkpoint(two) == two / "checkpoint-2"
    assert "checkpoint-4 is passed over" in caplog.text and "stock Trainer" in caplog.text


# ---- a writer that is killed ----


def test_killed_at_every_moment_of_a_replacement(tmp_path: Path, writer: ForkedWriter) -> None:
    """Just before each call that opens, makes, renames or deletes something, in a folder with one checkpoint."""
    found: list[int] = []
    for moment in range(1, 500):
        run_dir = tmp_path / str(moment)
        write(str(run_dir / "checkpoint-1"), 1)
        status, _ = writer.do("write_and_die", str(run_dir / "checkpoint-1"), 2, moment)
        last = last_checkpoint(run_dir)
        assert last == run_dir / "checkpoint-1"
        found.append(version_of(last))
        remove_partials(run_dir)
        assert _names(run_dir) == ["checkpoint-1"]
        if status == 0:
            break
        assert status == -signal.SIGKILL
    assert status == 0 and len(found) > 20
    assert found == sorted(found) and set(found) == {1, 2}  # from one rename on it is the new one


def test_killed_at_every_moment_of_the_first(tmp_path: Path, writer: ForkedWriter) -> None:
    for moment in range(1, 500):
        run_dir = tmp_path / str(moment)
        run_dir.mkdir()
        status, _ = writer.do("write_and_die", str(run_dir / "checkpoint-1"), 2, moment)
        last = last_checkpoint(run_dir)
        assert last is None or version_of(last) == 2
        remove_partials(run_dir)
        assert _names(run_dir) == ([] if last is None else ["checkpoint-1"])
        if status == 0:
            break
    assert status == 0 and moment > 15


def test_killed_at_random_times(
    tmp_path: Path, writer: ForkedWriter, caplog: pytest.LogCaptureFixture
) -> None:
    drawn = random.Random(0)
    write(str(tmp_path / "checkpoint-1"), 0)
    halves = 0
    for kill in range(KILLS):
        process = writer.start("write_for_ever", str(tmp_path), 1000 * kill, 50_000)
        time.sleep(drawn.uniform(0.005, 0.1))
        os.kill(process, signal.SIGKILL)
        assert writer.end()[0] == -signal.SIGKILL
        halves += any(".partial-" in name for name in _names(tmp_path))
        last = last_checkpoint(tmp_path)
        assert last is not None
        version_of(last)
        remove_partials(tmp_path)
        for name in _names(tmp_path):
            assert name.startswith("checkpoint-")
            version_of(tmp_path / name)
    assert halves > KILLS // 4  # the kills did hit the writing
    assert caplog.text.count("its writing did not come to an end") == halves


@pytest.mark.parametrize("size", [100, 50_000])
def test_what_is_being_written_stays(tmp_path: Path, writer: ForkedWriter, size: int) -> None:
    """Small files make many beginnings and ends, where the two meet; large ones make long writes."""
    process = writer.start("write_for_ever", str(tmp_path), 0, size)
    until = time.monotonic() + 1
    seen = 0
    while time.monotonic() < until:
        seen += any(".partial-" in name for name in _names(tmp_path))
        remove_partials(tmp_path)
    os.kill(process, signal.SIGKILL)
    assert writer.end() == (-signal.SIGKILL, "")  # and no error of a writer whose folder went away
    assert seen > 10


def test_deletion_that_was_killed_is_finished(tmp_path: Path) -> None:
    half = tmp_path / ".checkpoint-1.deleted-0123abcd"
    (half / "adapters").mkdir(parents=True)
    (half / "adapters" / "weights").touch()
    (tmp_path / ".checkpoint-1.partial").mkdir()  # not a name of ours
    remove_partials(tmp_path)
    assert _names(tmp_path) == [".checkpoint-1.partial"]


def test_no_checkpoints(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for folder in (tmp_path, tmp_path / "not there"):
        remove_partials(folder)
        assert last_checkpoint(folder) is None
    assert caplog.text == ""
