"""A run's folder: one run at a time, and which checkpoints stay."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from forked_writer import ForkedWriter

from hf_mtl.errors import CheckpointError
from hf_mtl.training.checkpoints import (
    RunLock,
    last_checkpoint,
    read_checkpoint,
    remove_partials,
    rotate_checkpoints,
    write_checkpoint,
)
from hf_mtl.training.checkpoints.locks import LOCK_FILE
from hf_mtl.training.checkpoints.run_folder import asides


def _wait_for(file: Path) -> None:
    until = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_two_runs_in_one_folder_and_a_lock_whose_run_was_killed(tmp_path: Path, writer: ForkedWriter) -> None:
    run_dir = tmp_path / "run"
    process = writer.start("hold", str(run_dir), str(tmp_path / "told"))
    _wait_for(tmp_path / "told")
    with pytest.raises(CheckpointError) as caught, RunLock(run_dir):
        pytest.fail("two runs in one folder")
    text = str(caught.value)
    assert f"in use by another run: process {process} on {socket.gethostname()}, since 20" in text
    assert "give another output_dir" in text
    os.kill(process, signal.SIGKILL)  # its worker lives on for some seconds
    writer.end()
    assert json.loads((run_dir / LOCK_FILE).read_text())["pid"] == process  # a stale lock
    with RunLock(run_dir):
        assert json.loads((run_dir / LOCK_FILE).read_text())["pid"] == os.getpid()


def test_lock_is_let_go_of(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), RunLock(tmp_path):
            raise ZeroDivisionError
    with (
        RunLock(tmp_path),
        pytest.raises(CheckpointError, match=f"process {os.getpid()} on"),
        RunLock(tmp_path),
    ):
        pytest.fail("two runs in one folder")


def test_a_holder_that_has_not_written_yet(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        (tmp_path / LOCK_FILE).write_text("")
        with pytest.raises(CheckpointError, match="has not yet written who it is"), RunLock(tmp_path):
            pytest.fail("two runs in one folder")


def _run(run_dir: Path, *numbers: int) -> Path:
    for number in numbers:
        write_checkpoint(run_dir / f"checkpoint-{number}", {}, {"state": number})
    return run_dir


def _left(run_dir: Path) -> list[str]:
    return sorted((path.name.removeprefix("checkpoint-") for path in run_dir.iterdir()), key=int)


def test_the_last_is_the_one_with_the_largest_number(tmp_path: Path) -> None:
    _run(tmp_path, 10, 9, 100, 20)
    (tmp_path / "checkpoint-best").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"


@pytest.mark.parametrize(
    ("limit", "keep", "left"),
    [
        (None, [], ["8", "9", "10", "11"]),
        (0, [], ["8", "9", "10", "11"]),
        (4, [], ["8", "9", "10", "11"]),
        (3, [], ["9", "10", "11"]),
        (1, [], ["11"]),
        (2, ["8"], ["8", "11"]),
        (1, ["8"], ["8", "11"]),
        (1, ["9", "10"], ["9", "10", "11"]),
        (2, ["elsewhere"], ["10", "11"]),
    ],
)
def test_rotation(tmp_path: Path, limit: int | None, keep: list[str], left: list[str]) -> None:
    _run(tmp_path, 9, 8, 11, 10)
    deleted = rotate_checkpoints(tmp_path, limit, [tmp_path / f"checkpoint-{name}" for name in keep])
    assert _left(tmp_path) == left
    wanted = [number for number in ("8", "9", "10", "11") if number not in left]
    assert [path.name.removeprefix("checkpoint-") for path in deleted] == wanted


def test_rotation_knows_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(_run(tmp_path, 1, 2, 3))
    rotate_checkpoints(Path(), 1, [tmp_path / "checkpoint-1"])
    assert _left(tmp_path) == ["1", "3"]


def test_rotation_keeps_the_newest_whole_one_and_what_is_not_ours(tmp_path: Path) -> None:
    _run(tmp_path, 1, 2, 3, 4)
    (tmp_path / "checkpoint-4" / "state.json").write_text("longer than it was")
    (tmp_path / "checkpoint-0").mkdir()
    assert rotate_checkpoints(tmp_path, 1, []) == [tmp_path / "checkpoint-1", tmp_path / "checkpoint-2"]
    assert _left(tmp_path) == ["0", "3", "4"]
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-3"


def test_a_file_is_no_folder_set_aside(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint-5.partial-1f0c3a9e").touch()
    (tmp_path / ".checkpoint-6.partial-1f0c3a9e").mkdir()
    assert asides(tmp_path, "partial") == [tmp_path / ".checkpoint-6.partial-1f0c3a9e"]


def test_tidying_up_brings_back_what_was_being_replaced(tmp_path: Path) -> None:
    """A run that was killed between its two renames: the old checkpoint is the only whole one."""
    _run(tmp_path, 3)
    (tmp_path / "checkpoint-3").rename(tmp_path / ".checkpoint-3.replaced-0123abcd")
    (tmp_path / ".checkpoint-4.partial-0123abcd").mkdir()
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]
    assert read_checkpoint(tmp_path / "checkpoint-3").document("state") == 3
