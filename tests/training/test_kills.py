"""Promise 3 with real processes: killed at any moment, also while it saves, a run resumes to the same bits."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from everything import BROKEN, CLASSES, LEAVES_EARLY, NEW, STREAMED
from forked_writer import ForkedWriter
from rich.console import Console
from rich.table import Table
from run_processes import Job, await_round, begin, differences, do, end_of, round_of

from hf_mtl.training.checkpoints import last_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Plan:
    """What a test does.

    Args:
        runs: Each of them must end as one that is not killed does.
        kills: Of each run, one after the other; were one resume not exact, its end would be another.
        sharing: A key of `everything.SHARING`; empty for three tasks with little on.
        later: The same after half of the kills, with a new task.
        changes: Training arguments.
    """

    runs: int
    kills: int
    sharing: str = ""
    later: str = ""
    changes: dict[str, Any] = field(default_factory=dict)


ONE_PROCESS = {
    "each run once": Plan(25, 1),
    "everything": Plan(5, 5, "shared+private"),
    "a task added": Plan(3, 4, "a group", later="a group and a new task"),
}
# A batch is twice as large; small chunks, so that both processes have some.
LONGER = {"max_chunk_tokens": 40, "num_train_epochs": 4}
TWO_PROCESSES = {
    "three tasks": Plan(1, 5, changes=LONGER | {"num_train_epochs": 9}),
    "everything": Plan(1, 5, "shared+private", changes=LONGER),
    "a task added": Plan(1, 4, "a group", later="a group and a new task", changes=LONGER),
}


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


def _moment(job: Job, drawn: random.Random, rounds: range, *, saving: bool) -> str:
    """Wait until a random moment of a run, in some of its rounds or, if not in a save, at its start."""
    first, last = rounds.start, rounds.stop - 2
    reached = drawn.randrange(max(first, 1), last) if saving else drawn.randrange(first - 1, last)
    if reached < first:
        delay = drawn.uniform(0, 0.2)
        time.sleep(delay)
        return f"{1000 * delay:.1f} ms after its start"
    await_round(job, reached)
    if saving:
        _await_save(job)
    delay = drawn.uniform(0, 0.02 if saving else 0.08)
    time.sleep(delay)
    return f"{1000 * delay:.1f} ms after {'a save began' if saving else f'round {reached}'}"


class Trial:
    """A plan on its way.

    Args:
        plan: The plan.
        model: The base's folder.
        out: Where its runs go.
        servers: One for each process of a run.
        seed: Of the moments.
    """

    def __init__(
        self, plan: Plan, model: Path, out: Path, servers: Sequence[ForkedWriter], seed: int
    ) -> None:
        self.plan, self.out, self.servers = plan, out, servers
        self.drawn, self.kills = random.Random(seed), Kills()
        changes = plan.changes | {"save_total_limit": None}
        self.whole = Job(str(model), str(out / "whole"), changes=changes, sharing=plan.sharing)
        self.ends = {"": self._end(self.whole)}

    def _end(self, job: Job) -> list[dict[str, Any]]:
        """What each process of a run that is not killed ends with."""
        assert do(job, *self.servers)
        return [end_of(job, rank) for rank in range(len(self.servers))]

    def end(self, added_at: str = "") -> list[dict[str, Any]]:
        """The same, where a task is added at a checkpoint."""
        if added_at not in self.ends:
            job = replace(
                self.whole, out=str(self.out / f"from-{added_at}"), resume=True, sharing=self.plan.later
            )
            shutil.copytree(Path(self.whole.out, added_at), Path(job.out, added_at))
            self.ends[added_at] = self._end(job)
        return self.ends[added_at]

    def run(self, number: int) -> None:
        """Let a run be killed again and again, and note whether it ends as one that was not."""
        job = replace(self.whole, out=str(self.out / str(number)), resume=True, changes=self.plan.changes)
        added_at = ""
        for kill in range(self.plan.kills):
            if self.plan.later and kill == self.plan.kills // 2:
                last = last_checkpoint(Path(job.out))
                assert last is not None
                job, added_at = replace(job, sharing=self.plan.later), last.name
            rounds = self.end(added_at)[0]["log"][-1]["step"]
            self._kill(job, range(rounds * kill // self.plan.kills, rounds * (kill + 1) // self.plan.kills))
        assert do(job, *self.servers)
        for rank, end in enumerate(self.end(added_at)):
            differ = differences(end, end_of(job, rank))
            self.kills.ended("yes" if not differ else f"no: {len(differ)}, {differ[0]}")
            assert differ == []

    def _kill(self, job: Job, rounds: range) -> None:
        saving = len(self.kills.rows) % 2 == 1
        processes = begin(job, *self.servers)
        moment = _moment(job, self.drawn, rounds, saving=saving)
        for process in processes:
            os.kill(process, signal.SIGKILL)
        assert [server.end()[0] for server in self.servers] == [-signal.SIGKILL] * len(processes)
        self.kills.note(job, moment)


def _everything_was_there(end: dict[str, Any]) -> None:
    """One task stopped early, one is in quarantine, one has a strike; the best round is not the last one."""
    assert end["state plan"]["stopped"] == sorted([BROKEN, LEAVES_EARLY])
    assert end["state containment"]["strikes"] == {STREAMED: 1, BROKEN: 2}
    assert {STREAMED, BROKEN, LEAVES_EARLY} <= end["state objective"]["state"]["first"].keys()
    assert all(0 < best["round"] < end["log"][-1]["step"] for best in end["state best"]["rounds"])


def _only_the_new_task_is_new(before: dict[str, Any], after: dict[str, Any], *, processes: int) -> None:
    """The new task makes all its steps, the others theirs; the one that shares nothing has its bits all along."""
    counts = ("steps", "examples", "tokens")
    old, new = (
        {name: [own[key] for key in counts] for name, own in end["mixture"].items()}
        for end in (before, after)
    )
    assert new[NEW][0] == 12
    assert (new[STREAMED], new[CLASSES]) == (old[STREAMED], old[CLASSES])
    moments = [key for key in before["state"] if key.startswith(f"{CLASSES} ") and ":exp_avg" in key]
    assert len(moments) > 10
    # Of several processes another one computes a chunk where there are other tasks, and sums round otherwise.
    if processes == 1:
        assert all(torch.equal(before["state"][key], after["state"][key]) for key in moments)


def _hold(trial: Trial, title: str, capsys: pytest.CaptureFixture[str]) -> None:
    if trial.plan.sharing:
        _everything_was_there(trial.end()[0])
    try:
        for number in range(trial.plan.runs):
            trial.run(number)
    finally:
        trial.kills.show(title, capsys)
    for name, ends in trial.ends.items():
        if name:
            _everything_was_there(ends[0])
            _only_the_new_task_is_new(trial.end()[0], ends[0], processes=len(trial.servers))
    assert trial.kills.in_saves >= trial.plan.runs * trial.plan.kills // 5


@pytest.mark.parametrize("plan", ONE_PROCESS.values(), ids=ONE_PROCESS)
def test_killed_at_random_moments(
    tiny_llama: Path, tmp_path: Path, runner: ForkedWriter, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    _hold(Trial(plan, tiny_llama, tmp_path, [runner], seed=0), "one process", capsys)


@pytest.mark.parametrize("plan", TWO_PROCESSES.values(), ids=TWO_PROCESSES)
def test_two_processes_killed_at_random_moments(
    tiny_llama: Path,
    tmp_path: Path,
    runner: ForkedWriter,
    second_runner: ForkedWriter,
    plan: Plan,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _hold(Trial(plan, tiny_llama, tmp_path, [runner, second_runner], seed=1), "two processes", capsys)
