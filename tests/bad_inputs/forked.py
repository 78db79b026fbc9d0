"""A process that imports the library once and runs each case in a forked child, which it times and measures."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Ended", "Server"]

TESTS = Path(__file__).resolve().parents[1]
PATIENCE = 240  # seconds after which a child is ended, on a machine with much else to do
PROCESSOR = 6  # seconds of processor time after which it is
ROOM = 4 << 30  # bytes of address space that a child may take beyond its parent's
LARGEST = 1 << 30  # bytes of a file


@dataclass(frozen=True)
class Ended:
    """How a case ended.

    Args:
        code: The exit code, or minus the signal.
        text: What was written to standard output and standard error, as bytes.
        seconds: How long it took, in processor time.
        wall: How long it took, by the clock.
        megabytes: How much memory it took, beyond what the imports hold.
    """

    code: int
    text: bytes
    seconds: float
    wall: float
    megabytes: float


class Server:
    """The tests' side of it."""

    def __init__(self, good: Path) -> None:
        rooms = [TESTS.parent, TESTS, TESTS / "kinds", TESTS / "loading"]
        path = os.pathsep.join([*map(str, rooms), *filter(None, [os.environ.get("PYTHONPATH")])])
        wanted = {
            "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1",
            "TERM": "dumb", "COLUMNS": "120", "RUST_BACKTRACE": "0", "HF_HOME": str(good.parent / "hf-home"),
            "HF_MTL_CACHE": str(good.parent / "hf-mtl-cache"), "PYTHONIOENCODING": "utf-8", "TMPDIR": str(good.parent),
        }  # fmt: skip
        self._good = good
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **wanted},
        )

    def run(self, subject: str, name: str, folder: Path) -> Ended:
        """Run one case in a folder that is yet to be made."""
        answer = self._ask(subject, name, str(folder), str(self._good))
        text = folder.with_suffix(".said").read_bytes()
        return Ended(text=text, **answer)

    def _ask(self, *question: str) -> Any:  # Any: plain JSON
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if isinstance(answer, str):
            raise AssertionError(answer)
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


def _forked(job: Callable[[], int], said: Path, stdin: bytes = b"") -> tuple[int, float, float, float]:
    """Do a job in a child; returns its exit code, processor and clock seconds, and megabytes."""
    reader, writer = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.close(reader)
            _take_streams(said, stdin)
            before = _peak()
            _limit()
            code = job()
            os.write(writer, json.dumps(_peak() - before).encode())
        except BaseException:  # noqa: BLE001  # as Python ends
            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writer)
    _, status, usage = os.wait4(child, 0)
    grown = os.read(reader, 100)
    os.close(reader)
    code = os.waitstatus_to_exitcode(status)
    return code, usage.ru_utime + usage.ru_stime, time.monotonic() - start, float(grown or "nan")


def _take_streams(said: Path, stdin: bytes) -> None:
    """Read the input from a file, and write both outputs to one."""
    source = said.with_suffix(".stdin")
    source.write_bytes(stdin)
    for number, path, flags in ((0, source, os.O_RDONLY), (1, said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)):
        handle = os.open(path, flags, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    os.dup2(1, 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]  # a real file


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _limit() -> None:
    """End the child if it hangs, and let it fail where it takes all memory or disk."""
    signal.alarm(PATIENCE)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST, LARGEST))


def _program(arguments: tuple[str, ...]) -> int:
    """Run the program; returns its exit code."""
    from hf_mtl.cli import main

    sys.argv = ["hf-mtl", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _call(call: Callable[[Path], object], folder: Path) -> int:
    """Call the library; its errors are printed, as they are read where they are not caught."""
    from hf_mtl.cli.quiet import be_quiet
    from hf_mtl.errors import HfMtlError

    be_quiet()
    try:
        call(folder)
    except HfMtlError as error:
        print(f"{type(error).__name__}: {error}")  # noqa: T201  # what the test reads
        return 2
    return 0


def _case(subject: str, name: str, folder: Path, good: Path) -> dict[str, float]:
    from bad_inputs.good import lay_out
    from bad_inputs.table import SUBJECTS

    (case,) = (case for case in SUBJECTS[subject] if case.name == name)

    def spoil() -> int:
        lay_out(folder, good, case.needs)
        os.chdir(folder)
        case.spoil(folder)
        return 0

    def run() -> int:
        os.chdir(folder)
        return _call(case.run, folder) if callable(case.run) else _program(case.run)

    for thing in ("base", *case.needs, *(("bert", "vit") if subject == "rows" else ())):
        _make(thing, good)
    said = folder.with_suffix(".said")
    if _forked(spoil, said)[0] != 0:
        raise AssertionError(f"the case itself is broken:\n{said.read_text()}")
    said.unlink()
    code, seconds, wall, megabytes = _forked(run, said, case.stdin)
    return {"code": code, "seconds": seconds, "wall": wall, "megabytes": megabytes}


def _import_all() -> None:
    """Import what the verbs and the cases need, so that no case is measured by its imports."""
    import datasets  # noqa: F401
    import kind_bases  # noqa: F401
    import pyarrow.csv  # type: ignore[import-untyped]
    import pyarrow.json  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: F401
    from peft import LoraConfig  # noqa: F401
    from transformers import AutoModel, AutoTokenizer, BertModel, LlamaForCausalLM, ViTModel  # noqa: F401

    import hf_mtl.cli.preview_text
    import hf_mtl.cli.quiet
    import hf_mtl.evaluation.page
    import hf_mtl.export.hub
    import hf_mtl.recipe.drafting
    import hf_mtl.recipe.finished
    import hf_mtl.recipe.relating
    import hf_mtl.recipe.verifying  # noqa: F401
    from bad_inputs import table  # noqa: F401


def _make(name: str, good: Path) -> None:
    """Make one of the good inputs, if it is not there."""
    from bad_inputs.good import make

    if (good / name).exists():
        return
    good.mkdir(parents=True, exist_ok=True)
    said = good / f"{name}.said"

    def job() -> int:
        make(name, good)
        return 0

    if _forked(job, said)[0] != 0:
        raise AssertionError(f"the good input {name!r} cannot be made:\n{said.read_text()}")


def serve() -> None:
    """Answer the lines of the input until it ends."""
    _import_all()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        subject, name, folder, good = json.loads(line)
        answer: object
        try:
            answer = _case(subject, name, Path(folder), Path(good))
        except AssertionError as error:
            answer = str(error)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    os._exit(0)  # nothing is left to be done, and Python takes seconds to take itself apart


if __name__ == "__main__":
    serve()
