"""A process in which `failing_writes.c` is preloaded: it runs a verb over and over, each time another write fails.

It imports everything once and does each run in a forked child. Standard input is one JSON object, `Job`; each line of
its output is a JSON object, `Outcome`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

TRACEBACK = 70  # the exit status of a verb that ends with one
SECONDS = 120  # longest run
ERRORS = (errno.ENOSPC, errno.EACCES)


@dataclass(frozen=True)
class Sweep:
    """One verb.

    Args:
        verb: The command line's arguments.
        numbers: Which calls fail, one in each run; none: all of them.
    """

    verb: Sequence[str]
    numbers: Sequence[int] = ()


@dataclass(frozen=True)
class Job:
    """What is asked.

    Args:
        template: A folder that each run finds as it is here.
        root: Where it is put for a run; the calls that fail are below it, and it is the working folder.
        prepare: Verbs that are run in the template first.
        suites: Saved suites, relative to the root, that are there by then.
        sweeps: The verbs.
    """

    template: str
    root: str
    prepare: Sequence[Sequence[str]]
    suites: Sequence[str]
    sweeps: Sequence[Sweep]


@dataclass(frozen=True)
class Outcome:
    """One run.

    Args:
        verb: The command line's arguments.
        number: Which call failed; 0 in the run in which none does.
        error: The system's number of the error.
        failed: The call and its path; empty if the run made fewer calls.
        calls: How many there were.
        status: The program's exit status.
        text: What it printed.
        problems: What is no longer as it should be afterwards.
    """

    verb: Sequence[str]
    number: int
    error: int
    failed: str
    calls: int
    status: int
    text: str
    problems: Sequence[str]


def main() -> None:
    """Do a job."""
    content, shim = json.load(sys.stdin), ctypes.CDLL(None)
    job = Job(**content | {"sweeps": [Sweep(**sweep) for sweep in content["sweeps"]]})
    shim.failed.restype, shim.calls.restype = ctypes.c_char_p, ctypes.c_long
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.chdir(job.template)
    for verb in job.prepare:
        assert _run(verb) == 0, verb
    for sweep in job.sweeps:
        _make_fresh(job)
        _run(sweep.verb)  # once here, so that all that it imports is there in every child
        whole = _forked(job, sweep.verb, shim, 0, 0)
        print(json.dumps(asdict(whole)), file=answers, flush=True)
        for number in sweep.numbers or range(1, whole.calls + 1):
            outcome = _forked(job, sweep.verb, shim, number, ERRORS[number % len(ERRORS)])
            print(json.dumps(asdict(outcome)), file=answers, flush=True)


def _make_fresh(job: Job) -> None:
    os.chdir(job.template)
    shutil.rmtree(job.root, ignore_errors=True)
    shutil.copytree(job.template, job.root)
    os.chdir(job.root)


def _run(verb: Sequence[str]) -> int:
    """The program in this process; returns its exit status."""
    from hf_mtl.cli import main as program

    for handler in logging.getLogger("hf_mtl").handlers[:]:
        logging.getLogger("hf_mtl").removeHandler(handler)
    sys.argv = ["hf-mtl", *verb]
    try:
        program()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # what the interpreter would end with
        traceback.print_exc()
        return TRACEBACK
    return 0


def _forked(job: Job, verb: Sequence[str], shim: ctypes.CDLL, number: int, error: int) -> Outcome:
    _make_fresh(job)
    said, answer = Path(f"{job.root}.txt"), Path(f"{job.root}.json")
    before = {suite: _adapters(Path(suite)) for suite in job.suites}
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            _redirect(said)
            shim.fail_at(f"{job.root}/".encode(), ctypes.c_long(number), error, int(error == errno.ENOSPC))
            found = {
                "status": _run(verb),
                "calls": shim.calls(),
                "failed": shim.failed().decode(errors="replace"),
            }
            shim.fail_at(b"", ctypes.c_long(0), 0, 0)
            answer.write_text(json.dumps(found | {"problems": list(_problems(job, before))}))
            sys.stdout.flush()
            os._exit(0)
        os._exit(1)
    status = _status(child)
    lost = {"failed": "", "calls": 0, "status": status, "problems": [f"the child ended with {status}"]}
    found = json.loads(answer.read_text()) if status == 0 else lost
    return Outcome(verb, number, error, text=said.read_text(errors="replace"), **found)


def _redirect(file: Path) -> None:
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for descriptor in (1, 2):
        os.dup2(out, descriptor)


def _status(child: int) -> int:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


def _adapters(suite: Path) -> dict[str, str]:
    """By task, the digest of its adapter's files."""
    from hf_mtl.models.saved import CONFIG_FILE, WEIGHTS_FILE, Manifest

    def digest(folder: Path) -> str:
        return hashlib.sha256(
            b"".join((folder / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE))
        ).hexdigest()

    return {task: digest(suite / place) for task, place in Manifest.load(suite).tasks.items()}


def _problems(job: Job, before: dict[str, dict[str, str]]) -> Iterator[str]:
    """What no longer loads, and what is left lying about."""
    from hf_mtl.errors import HfMtlError
    from hf_mtl.models.saved import Manifest, read_adapters
    from hf_mtl.training.checkpoints import last_checkpoint

    for suite in map(Path, job.suites):
        try:
            read_adapters({task: suite / place for task, place in Manifest.load(suite).tasks.items()})
            changed = [
                task for task, digest in _adapters(suite).items() if before[str(suite)].get(task) != digest
            ]
            if len(changed) not in (0, len(before[str(suite)])):
                yield f"{suite}: only {changed} are new"
            checkpoints = list(suite.glob("checkpoint-*"))
            if checkpoints and last_checkpoint(suite) is None:
                yield f"{suite}: no checkpoint is whole"
        except HfMtlError as error:
            yield f"{suite} does not load: {error}"
    for path in Path(job.root).rglob(".*"):
        if ".partial-" in path.name or ".new-" in path.name:
            yield f"{path} is left"


if __name__ == "__main__":
    main()
