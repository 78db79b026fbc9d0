"""Runs in processes of their own, for the tests to kill: forked by a server, started as a script, or by torchrun.

python run_processes.py JOB.json            torchrun ... run_processes.py JOB.json            (a `Job` as JSON)
"""

from __future__ import annotations

import importlib.util
import json
import os
import pty
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import everything
import torch
from forked_writer import ROOT, ForkedWriter, serve
from torchrun import torchrun
from transformers import TrainerCallback

from hf_mtl import MultiTaskTrainer
from hf_mtl.training.checkpoints import last_checkpoint, read_checkpoint
from runs import logged, state_of, tasks, trainer_of

SETTINGS: dict[str, Any] = {
    "max_steps": -1,
    "num_train_epochs": 2,
    "logging_steps": 3,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "save_strategy": "steps",
    "save_steps": 2,
    "save_total_limit": 3,
    "load_best_model_at_end": True,
}


@dataclass(frozen=True)
class Job:
    """A run of the three tasks, or of those of `everything`.

    Args:
        model: The base's folder.
        out: The run's folder.
        resume: Whether to go on from the last checkpoint; if there is none, the run starts.
        changes: Training arguments.
        sharing: A key of `everything.SHARING`; empty for the three tasks.
    """

    model: str
    out: str
    resume: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    sharing: str = ""

    @property
    def notes(self) -> Path:
        """The folder of what the processes tell: `round`, `pid-<rank>`, `status-<rank>`, `end-<rank>`."""
        return Path(self.out + "-notes")


class _Progress(TrainerCallback):
    """Notes the round that the run has reached."""

    def __init__(self, file: Path) -> None:
        self.file = os.open(file, os.O_WRONLY | os.O_CREAT)

    def _note(self, number: int) -> None:
        os.pwrite(self.file, b"%6d" % number, 0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._note(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._note(state.global_step)


def _trainer(job: Job) -> MultiTaskTrainer:
    folders = Path(job.model), Path(job.out)
    if not job.sharing:
        return trainer_of(*folders, tasks(), **(SETTINGS | job.changes))
    settings = SETTINGS | everything.SETTINGS | {"sharing": everything.SHARING[job.sharing]}
    trainer = trainer_of(*folders, everything.suite(job.sharing), **(settings | job.changes))
    everything.poison(trainer)
    return trainer


def train(job: Job) -> None:
    """Train to the end, and note with what."""
    torch.set_num_threads(1)
    rank = os.environ.get("RANK", "0")
    job.notes.mkdir(exist_ok=True)
    (job.notes / f"pid-{rank}").write_text(str(os.getpid()))
    trainer = _trainer(job)
    if rank == "0":
        trainer.add_callback(_Progress(job.notes / "round"))
    resume = job.resume and last_checkpoint(Path(job.out)) is not None
    try:
        trainer.train(resume_from_checkpoint=resume)
    except SystemExit as error:
        (job.notes / f"status-{rank}").write_text(str(error.code))
        raise
    end = {"state": state_of(trainer), "log": logged(trainer), "mixture": trainer.plan.log.summary()["tasks"]}
    torch.save(end, job.notes / f"end-{rank}")


def run(text: str, environment: dict[str, str]) -> str:
    """What the server's children do; what they print goes into a file, for the server's answers are on its output."""
    job = Job(**json.loads(text))
    job.notes.mkdir(exist_ok=True)
    os.environ.update(environment)
    rank = environment.get("RANK", "0")
    with (job.notes / ("printed" if rank == "0" else f"printed-{rank}")).open("w") as printed:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(printed.fileno(), stream.fileno())
    train(job)
    return "trained"


def begin(job: Job, *servers: ForkedWriter) -> list[int]:
    """Let each server start a process of the run, which is one of several if they are; returns their numbers."""
    job.notes.mkdir(exist_ok=True)
    (job.notes / "round").unlink(missing_ok=True)
    together = {} if len(servers) == 1 else {"WORLD_SIZE": str(len(servers)), **_meeting_point()}
    return [
        server.start(
            "run", json.dumps(asdict(job)), together and {**together, "RANK": str(i), "LOCAL_RANK": str(i)}
        )
        for i, server in enumerate(servers)
    ]


def _meeting_point() -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def do(job: Job, *servers: ForkedWriter) -> bool:
    """Train to the end; returns whether all processes did."""
    begin(job, *servers)
    return [server.end() for server in servers] == [(0, "trained")] * len(servers)


def end_of(job: Job, rank: int = 0) -> dict[str, Any]:
    """All that a run ended with: what `train` noted, and what the last checkpoint holds, but for the clock."""
    noted = torch.load(job.notes / f"end-{rank}", weights_only=True)
    last = last_checkpoint(Path(job.out))
    assert last is not None
    checkpoint = read_checkpoint(last)
    for file in last.glob("*.safetensors"):
        own = checkpoint.tensors(file.stem)
        noted["state"] |= {f"{last.name}/{file.stem} {key}": value for key, value in own.items()}
    for stem in ("run", "state"):
        document: Any = checkpoint.document(stem)
        document.get("meter", {}).pop("seconds", None)
        noted |= {f"{stem} {key}": value for key, value in document.items()}
    return {**noted, "checkpoint": last.name}


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The tensors, log entries and other values that are not the same bits."""
    first, second = one["state"], other["state"]
    found = sorted(first.keys() ^ second.keys())
    found += [key for key in first.keys() & second.keys() if not torch.equal(first[key], second[key])]
    if len(one["log"]) != len(other["log"]):
        found.append(f"{len(one['log'])} log entries and {len(other['log'])}")
    found += [
        f"log {a} and {b}" for a, b in zip(one["log"], other["log"], strict=False) if _text(a) != _text(b)
    ]
    others = (one.keys() | other.keys()) - {"state", "log"}
    return found + [key for key in sorted(others) if _text(one.get(key)) != _text(other.get(key))]


def _text(value: object) -> str:
    """The value as text, in which NaN is equal to itself, and every float has all its digits."""
    return json.dumps(value, sort_keys=True)


def round_of(job: Job) -> int | None:
    """The round that a run has reached; None before the first."""
    file = job.notes / "round"
    text = file.read_text() if file.exists() else ""
    return int(text) if text else None


def await_round(
    job: Job, number: int, process: subprocess.Popen[str] | None = None, seconds: float = 120
) -> None:
    """Wait until a run has reached a round."""
    until = time.monotonic() + seconds
    while (reached := round_of(job)) is None or reached < number:
        assert time.monotonic() < until, f"round {number} was not reached; {reached} was"
        assert process is None or process.poll() is None, "the run has ended"
        time.sleep(0.002)


def start(job: Job, *, processes: int = 1) -> subprocess.Popen[str]:
    """Start a run as a script; with several processes by torchrun."""
    job.notes.mkdir(exist_ok=True)
    (job.notes / "round").unlink(missing_ok=True)
    file = job.notes / "job.json"
    file.write_text(json.dumps(asdict(job)))
    program = [__file__, str(file)]
    with (job.notes / "printed").open("w") as printed:
        return subprocess.Popen(
            torchrun(*program, processes=processes) if processes > 1 else [sys.executable, *program],
            stdout=printed,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=_environment(),
        )


def start_in_terminal(job: Job) -> tuple[int, int]:
    """Start a run in a terminal of its own; returns the process and the terminal's other end."""
    job.notes.mkdir(exist_ok=True)
    file = job.notes / "job.json"
    file.write_text(json.dumps(asdict(job)))
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, __file__, str(file)], _environment())
    return process, terminal


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "training")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


if __name__ == "__main__":
    # torch imports `tabulate` (it comes with sacrebleu) at the exit. Its import evaluates text, at which CPython
    # forgets that it ends for a KeyboardInterrupt, and would give the status 1.
    if importlib.util.find_spec("tabulate"):
        importlib.import_module("tabulate")
    if len(sys.argv) > 1:
        train(Job(**json.loads(Path(sys.argv[1]).read_text())))
    else:
        serve({"run": run})
