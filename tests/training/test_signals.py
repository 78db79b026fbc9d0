"""SIGTERM and SIGINT in real processes: the round is finished, a checkpoint written, and the signal obeyed."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from forked_writer import ForkedWriter
from run_processes import Job, await_round, differences, do, end_of, round_of, start

from hf_mtl.training.checkpoints import last_checkpoint

pytestmark = pytest.mark.slow

FEW = {"save_steps": 20}  # so that a checkpoint before round 20 is one that a signal made


def _stopped(job: Job, process: subprocess.Popen[str], number: signal.Signals) -> int:
    """Send the signal after some rounds; returns the exit status. There is then a checkpoint of the round."""
    await_round(job, 5, process)
    process.send_signal(number)
    status = process.wait(60)
    last = last_checkpoint(Path(job.out))
    reached = round_of(job)
    assert last is not None and last.name == f"checkpoint-{reached}" and reached is not None
    assert 5 <= reached < 20
    assert [path for path in Path(job.out).iterdir() if "partial" in path.name] == []
    assert (
        f"{number.name}: finishing the round, then saving a checkpoint" in (job.notes / "printed").read_text()
    )
    return status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_process(tiny_llama: Path, tmp_path: Path, runner: ForkedWriter, number: signal.Signals) -> None:
    whole = Job(str(tiny_llama), str(tmp_path / "whole"), changes=FEW)
    job = replace(whole, out=str(tmp_path / "stopped"))
    status = _stopped(job, start(job), number)
    assert status == (143 if number == signal.SIGTERM else -signal.SIGINT)
    assert ("KeyboardInterrupt" in (job.notes / "printed").read_text()) == (number == signal.SIGINT)
    assert do(runner, whole) == do(runner, replace(job, resume=True)) == (0, "trained")
    assert differences(end_of(whole), end_of(job)) == []


def test_two_processes(tiny_llama: Path, tmp_path: Path) -> None:
    """The launcher passes the signal on to all processes, which may be in different rounds when it arrives."""
    whole = Job(str(tiny_llama), str(tmp_path / "whole"), changes=FEW | {"max_chunk_tokens": 40})
    assert start(whole, processes=2).wait(120) == 0
    job = replace(whole, out=str(tmp_path / "stopped"))
    assert _stopped(job, start(job, processes=2), signal.SIGTERM) != 0
    assert [(job.notes / f"status-{rank}").read_text() for rank in range(2)] == ["143", "143"]
    assert start(replace(job, resume=True), processes=2).wait(120) == 0
    for rank in range(2):
        assert differences(end_of(whole, rank), end_of(job, rank)) == []
