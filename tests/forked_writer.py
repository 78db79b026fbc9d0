"""A process that imports the library once and then does what it is told in forked children, for the tests to kill.

Each line of its input is a JSON list: the name of a job and its arguments. The child's number is answered at
once, and when it has ended, how: {"status": exit status, or minus the signal, "text": what the job returned or raised}.
"""

from __future__ import annotations

import fcntl  # noqa: F401  # before a child changes its user, who may not read Python's files
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import hf_mtl

if __name__ == "__main__":
    # Only the checkpoints are needed here; the room's door would load transformers, which takes ten times as long.
    room = types.ModuleType("hf_mtl.training")
    room.__path__ = [str(Path(hf_mtl.__file__).parent / "training")]
    sys.modules[room.__name__] = room

from hf_mtl.errors import CheckpointError
from hf_mtl.training.checkpoints import RunLock, last_checkpoint, read_checkpoint, write_checkpoint

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65534


def write(folder: str, version: int, size: int = 1000) -> str:
    """Write a checkpoint whose every part says its version."""

    def also(partial: Path) -> None:
        (partial / "adapters" / "one").mkdir(parents=True)
        (partial / "adapters" / "one" / "weights.txt").write_text(str(version))

    parts = {stem: {"w": torch.full((size,), version, dtype=torch.int64)} for stem in ("weights", "moments")}
    write_checkpoint(Path(folder), parts, {"state": {"version": version}}, also=also)
    return "written"


def version_of(folder: Path) -> int:
    """Load everything that `write` wrote; returns its version."""
    checkpoint = read_checkpoint(folder)
    document = checkpoint.document("state")
    assert isinstance(document, dict)
    version = int(document["version"])
    assert (folder / "adapters" / "one" / "weights.txt").read_text() == str(version)
    for stem in ("weights", "moments"):
        assert (checkpoint.tensors(stem)["w"] == version).all()
    return version


def write_for_ever(run_dir: str, first: int, size: int) -> str:
    """Write checkpoint-1 to -3 over and over, so that most of them replace one."""
    for version in itertools.count(first):
        write(f"{run_dir}/checkpoint-{version % 3 + 1}", version, size)
    return "never"


def write_and_die(folder: str, version: int, moment: int) -> str:
    """Write, and be killed just before the `moment`-th call that touches a file or folder."""
    calls = itertools.count(1)

    def count(event: str, _: tuple[object, ...]) -> None:
        if event.startswith(("open", "os.", "fcntl.", "shutil.")) and next(calls) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    return write(folder, version)


def write_limited(folder: str, version: int, size: int, limit: int) -> str:
    """Write where no file may have more than `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return write(folder, version, size)


def as_nobody(job: str, *arguments: Any) -> str:
    """Do a job as a user whom the modes of files bind."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return JOBS[job](*arguments)


def find_last(run_dir: str) -> str:
    """Return the name of the last checkpoint."""
    last = last_checkpoint(Path(run_dir))
    return last.name if last else "none"


def hold(run_dir: str, told: str) -> str:
    """Hold a run's folder until killed, with a forked worker that says that it runs, and lives on for a while."""
    with RunLock(Path(run_dir)):
        if os.fork() == 0:
            Path(told).touch()
            time.sleep(5)
            os._exit(0)
        time.sleep(60)
    return "let go"


JOBS: dict[str, Callable[..., str]] = {
    job.__name__: job
    for job in (write, write_for_ever, write_and_die, write_limited, as_nobody, find_last, hold)
}


def _child(job: Callable[..., str], arguments: list[Any], pipe: int) -> None:
    try:
        text = job(*arguments)
        status = 0
    except CheckpointError as error:
        text, status = f"{type(error).__name__}: {error}", 1
    os.write(pipe, text.encode())
    os._exit(status)


def serve(jobs: Mapping[str, Callable[..., str]]) -> None:
    """Do what the lines of the input say, until it ends."""
    for line in sys.stdin:
        job, *arguments = json.loads(line)
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            try:
                _child(jobs[job], arguments, writer)
            finally:
                traceback.print_exception(sys.exception())
                os._exit(99)
        os.close(writer)
        _say(process)
        _, status = os.waitpid(process, 0)
        os.set_blocking(reader, False)
        try:
            text = os.read(reader, 60_000).decode()
        except BlockingIOError:  # killed, and a worker of its own still has the other end
            text = ""
        os.close(reader)
        _say({"status": os.waitstatus_to_exitcode(status), "text": text})
    os._exit(0)  # nothing is left to be done, and Python takes seconds to take itself apart


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


class ForkedWriter:
    """The tests' side of it.

    Args:
        script: What serves; this file, unless its jobs are others.
    """

    def __init__(self, script: str = __file__) -> None:
        rooms = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "training")]
        path = os.pathsep.join([*rooms, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._server = subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )

    def start(self, job: str, *arguments: object) -> int:
        """Start a job; returns the number of its process."""
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps([job, *arguments]) + "\n")
        self._server.stdin.flush()
        return int(self._answer())

    def end(self) -> tuple[int, str]:
        """Wait for the end of the job; returns its status and text."""
        answer = self._answer()
        return answer["status"], answer["text"]

    def do(self, job: str, *arguments: object) -> tuple[int, str]:
        self.start(job, *arguments)
        return self.end()

    def _answer(self) -> Any:
        assert self._server.stdout is not None
        return json.loads(self._server.stdout.readline())

    def close(self) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(timeout=60)
        self._server.stdout.close()


if __name__ == "__main__":
    serve(JOBS)
