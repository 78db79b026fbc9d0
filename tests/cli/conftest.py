"""Runs the program as a user does: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Program = Callable[..., "subprocess.CompletedProcess[str]"]

# The checkout, so that the program is found without being installed.
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def hf_mtl_program() -> Program:
    def run(
        *arguments: str | Path, cwd: Path | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hf_mtl", *map(str, arguments)]
        wanted = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TERM": "dumb", "COLUMNS": "120"}
        environment = {**os.environ, **wanted, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=cwd,
            input=stdin,
            env=environment,
            encoding="utf-8",
        )

    return run
