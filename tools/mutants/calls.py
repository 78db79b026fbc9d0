"""A plugin of pytest: which functions of hf_mtl each test calls, and how long it takes, as lines of JSON."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

PACKAGE = str(Path.cwd() / "hf_mtl")
CALLS: set[str] = set()
# What fixtures call counts for every test of the file: the fixture may be shared.
SHARED: dict[Path, set[str]] = defaultdict(set)


def note(frame: FrameType, _event: str, _argument: object) -> None:
    """Note a call; None is returned, so that the function's lines are not traced."""
    code = frame.f_code
    if code.co_filename.startswith(PACKAGE):
        CALLS.add(f"hf_mtl{code.co_filename.removeprefix(PACKAGE)}::{code.co_qualname}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Trace one test with its fixtures, and write its line."""
    CALLS.clear()
    start = time.process_time()
    sys.settrace(note)
    try:
        return (yield)
    finally:
        sys.settrace(None)
        seconds = round(time.process_time() - start, 3)
        line = {"test": item.nodeid, "seconds": seconds, "calls": sorted(CALLS | SHARED[item.path])}
        file = os.open(os.environ["MUTANTS_CALLS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, (json.dumps(line) + "\n").encode())  # at once, for several workers write
        os.close(file)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Remember what the fixtures of a file call."""
    try:
        return (yield)
    finally:
        SHARED[item.path] |= CALLS
