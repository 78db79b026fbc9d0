"""What a piece of work costs, in a child that can neither hang the tests nor take the machine's memory.

>>> import mmap
>>> outcome = bounded(lambda: mmap.mmap(-1, 50_000_000).write(b"x" * 50_000_000))  # of pages that nothing used before
>>> outcome.text, outcome.megabytes > 40
('', True)
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Outcome", "bounded"]

_MOST_SECONDS = 20
_MOST_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended.

    Args:
        kind: The name of the error's class; empty where there was none.
        text: Its message; of a child that was ended by a signal, which one.
        seconds: Of the processor; the machine may be busy with other things.
        megabytes: By which the largest memory exceeded that at the start.
    """

    kind: str
    text: str
    seconds: float
    megabytes: float


def bounded(work: Callable[[], object]) -> Outcome:
    """Run some work in a forked child (on Linux)."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads, which the child does not use
        child = os.fork()
    if child == 0:
        os.close(reading)
        _run(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        raw = pipe.read()
    status = os.waitpid(child, 0)[1]
    if not raw:
        return Outcome("signal", signal.Signals(os.WTERMSIG(status)).name, _MOST_SECONDS, 0.0)
    return Outcome(**json.loads(raw))


def _run(work: Callable[[], object], writing: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_MOST_SECONDS, _MOST_SECONDS))
    limit = _kilobytes("VmSize") * 1024 + _MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, start = _kilobytes("VmRSS"), time.process_time()
    kind = text = ""
    try:
        work()
    except BaseException as error:  # noqa: BLE001  # whatever it is, the test says what it should have been
        kind, text = type(error).__name__, str(error)
    cost = {"seconds": time.process_time() - start, "megabytes": (_kilobytes("VmHWM") - before) / 1024}
    with os.fdopen(writing, "w") as pipe:
        json.dump({"kind": kind, "text": text, **cost}, pipe)
    os._exit(0)


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
