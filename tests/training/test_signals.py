"""SIGTERM, SIGINT and SIGHUP: the round is finished, a checkpoint written, and the signal obeyed.

In real processes, one of them in a terminal that is closed; what one process can show is quick.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from forked_writer import ForkedWriter
from run_processes import Job, await_round, differences, do, end_of, round_of, start, start_in_terminal
from transformers import TrainerCallback

from hf_mtl.training.checkpoints import last_checkpoint
from hf_mtl.training.control import StopSignal
from runs import logged, state_of, tasks, trainer_of

FEW = {"save_steps": 20}  # so that a checkpoint before round 20 is one that a signal made


@pytest.fixture(autouse=True)
def hangups_are_heard() -> Iterator[None]:
    """Also where the tests were started by `nohup`; a process that is started here inherits it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


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


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_one_process(tiny_llama: Path, tmp_path: Path, runner: ForkedWriter, number: signal.Signals) -> None:
    whole = Job(str(tiny_llama), str(tmp_path / "whole"), changes=FEW)
    job = replace(whole, out=str(tmp_path / "stopped"))
    status = _stopped(job, start(job), number)
    assert status == (-number if number == signal.SIGINT else 128 + number)
    assert ("KeyboardInterrupt" in (job.notes / "printed").read_text()) == (number == signal.SIGINT)
    assert do(whole, runner) and do(replace(job, resume=True), runner)
    assert differences(end_of(whole), end_of(job)) == []


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_terminal_that_closes(tiny_llama: Path, tmp_path: Path, runner: ForkedWriter) -> None:
    """The kernel sends SIGHUP, and every write to the terminal fails from then on, that of a log entry too."""
    whole = Job(str(tiny_llama), str(tmp_path / "whole"), changes=FEW | {"logging_steps": 1})
    job = replace(whole, out=str(tmp_path / "stopped"))
    process, terminal = start_in_terminal(job)
    await_round(job, 5)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 129
    last = last_checkpoint(Path(job.out))
    assert last is not None and last.name == f"checkpoint-{round_of(job)}" != "checkpoint-20"
    assert do(whole, runner) and do(replace(job, resume=True), runner)
    assert differences(end_of(whole), end_of(job)) == []


class _Sends(TrainerCallback):
    """Sends signals to this process at the beginning of a round."""

    def __init__(self, number: int, *signals: signal.Signals) -> None:
        self.number = number
        self.signals = signals

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for number in self.signals if state.global_step == self.number else ():
            os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    "at", [2, 5, 11], ids=["in an epoch", "in its last round", "in the last round of all"]
)
def test_a_hangup_leaves_an_epoch_open(tiny_llama: Path, tmp_path: Path, at: int) -> None:
    """Of an epoch that is broken off nothing is measured; and it comes twice, from the kernel and from the shell."""
    each = {"eval_strategy": "epoch", "logging_strategy": "epoch", "save_strategy": "epoch"}
    changes: dict[str, Any] = {"mixture": "round_robin", "max_steps": -1, "num_train_epochs": 2} | each
    changes["load_best_model_at_end"] = True
    suite = {name: replace(task, max_steps=4) for name, task in tasks().items()}
    whole = trainer_of(tiny_llama, tmp_path / "whole", suite, **changes)
    whole.train()
    assert len(whole.loader) == 6
    stopped = trainer_of(tiny_llama, tmp_path / "run", suite, **changes)
    stopped.add_callback(_Sends(at, signal.SIGHUP, signal.SIGHUP))
    with pytest.raises(SystemExit) as ended:
        stopped.train()
    assert ended.value.code == 129
    assert last_checkpoint(tmp_path / "run") == tmp_path / "run" / f"checkpoint-{at + 1}"
    assert len([entry for entry in stopped.state.log_history if "eval_loss" in entry]) == at // 6
    resumed = trainer_of(tiny_llama, tmp_path / "run", suite, **changes)
    resumed.train(resume_from_checkpoint=True)
    assert logged(resumed) == logged(whole)
    expected, found = state_of(whole), state_of(resumed)
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


def test_a_hangup_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asked = StopSignal()
    with asked.listening():
        os.kill(os.getpid(), signal.SIGHUP)
        assert not asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked
    with pytest.raises(SystemExit, match="143"):
        asked.obey()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
