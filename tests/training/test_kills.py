"""Promise 3 with real processes: killed at any moment, also while it saves, a run resumes to the same bits."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from forked_writer import ForkedWriter
from rich.console import Console
from rich.table import Table
from run_processes import Job, await_round, differences, do, end_of, round_of, start

from hf_mtl.training.checkpoints import last_checkpoint

KILLS, KILLS_OF_TWO = 25, 5
ROUNDS = 28

pytestmark = pytest.mark.slow


class Kills:
    """What the kills of a test hit and what came of them."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, ...]] = []
        self.in_saves = 0

    def note(self, job: Job, moment: str) -> None:
        """Right after a kill."""
        reached = round_of(job)
        halves = _halves(job)
        self.in_saves += bool(halves)
        where = f"saving {halves[0].split('.')[1]}" if halves else "training"
        if reached is None:
            where = "starting"
        last = last_checkpoint(Path(job.out))
        resumed = "the start" if last is None else last.name
        self.rows.append((moment, "-" if reached is None else str(reached), where, resumed))

    def ended(self, equal: str) -> None:
        self.rows[-1] = (*self.rows[-1][:4], equal)

    def show(self, title: str, capsys: pytest.CaptureFixture[str]) -> None:
        table = Table("killed", "round", "while", "resumed from", "equal", title=title)
        for row in self.rows:
            table.add_row(*row)
        with capsys.disabled():
            Console(width=100).print("\n", table)


def _halves(job: Job) -> list[str]:
    out = Path(job.out)
    return [path.name for path in out.iterdir() if ".partial-" in path.name] if out.exists() else []


def _await_save(job: Job, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not _halves(job):
        assert time.monotonic() < until, "no save has begun"
        time.sleep(0.0005)


def _moment(job: Job, drawn: random.Random, *, saving: bool) -> str:
    """Wait until a random moment of a run."""
    reached = drawn.randrange(1, ROUNDS - 2) if saving else drawn.randrange(-1, ROUNDS - 1)
    if reached < 0:
        delay = drawn.uniform(0, 0.2)
        time.sleep(delay)
        return f"{1000 * delay:.1f} ms after its start"
    await_round(job, reached)
    if saving:
        _await_save(job)
    delay = drawn.uniform(0, 0.02 if saving else 0.08)
    time.sleep(delay)
    return f"{1000 * delay:.1f} ms after {'a save began' if saving else f'round {reached}'}"


@pytest.mark.timeout(600)
def test_killed_at_random_moments(
    tiny_llama: Path, tmp_path: Path, runner: ForkedWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn, kills = random.Random(0), Kills()
    whole = Job(str(tiny_llama), str(tmp_path / "whole"))
    assert do(runner, whole) == (0, "trained")
    end = end_of(whole)
    assert end["log"][-1]["step"] == ROUNDS
    for number in range(KILLS):
        job = replace(whole, out=str(tmp_path / str(number)))
        process = runner.start("run", json.dumps(asdict(job)))
        moment = _moment(job, drawn, saving=number % 2 == 1)
        os.kill(process, signal.SIGKILL)
        assert runner.end()[0] == -signal.SIGKILL
        kills.note(job, moment)
        assert do(runner, replace(job, resume=True)) == (0, "trained")
        differ = differences(end, end_of(job))
        kills.ended("yes" if not differ else f"no: {len(differ)}, {differ[0]}")
    kills.show("one process", capsys)
    assert [row[4] for row in kills.rows] == ["yes"] * KILLS
    assert kills.in_saves >= 5


@pytest.mark.timeout(600)
def test_two_processes_killed_at_random_moments(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One run is killed again and again; were one resume not exact, its end would be another."""
    drawn, kills = random.Random(1), Kills()
    whole = Job(
        str(tiny_llama), str(tmp_path / "whole"), changes={"max_chunk_tokens": 40, "num_train_epochs": 9}
    )
    assert start(whole, processes=2).wait(120) == 0
    job = replace(whole, out=str(tmp_path / "killed"), resume=True)
    for number in range(KILLS_OF_TWO):
        launcher = start(job, processes=2)
        last = last_checkpoint(Path(job.out))
        first = (int(last.name.rpartition("-")[2]) if last else 0) + drawn.randrange(3, 10)
        await_round(job, first, launcher)
        if number % 2:
            _await_save(job)
        delay = drawn.uniform(0, 0.02)
        time.sleep(delay)
        for rank in range(2):
            os.kill(int((job.notes / f"pid-{rank}").read_text()), signal.SIGKILL)
        assert launcher.wait(60) != 0
        kills.note(job, f"{1000 * delay:.1f} ms after {'a save began' if number % 2 else f'round {first}'}")
        kills.ended("see below")
    assert start(job, processes=2).wait(120) == 0
    for rank in range(2):
        differ = differences(end_of(whole, rank), end_of(job, rank))
        assert differ == []
    kills.ended("yes")
    kills.show("two processes, one run", capsys)
