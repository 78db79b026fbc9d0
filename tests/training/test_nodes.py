"""Arguments about nodes, in two processes that are the only ones of their nodes."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forked_writer import ROOT

pytestmark = pytest.mark.slow  # two processes that import everything


@pytest.fixture(scope="module")
def nodes(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two nodes saw."""
    out = tmp_path_factory.mktemp("nodes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "training")])
    shared = {
        "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    script = str(Path(__file__).with_name("node_arguments.py"))
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(tiny_llama), str(out)],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(own[-3000:] for own in told)
    return [json.loads((out / f"{rank}.json").read_text()) for rank in range(2)]


def test_ddp_backend(nodes: list[dict[str, Any]]) -> None:
    assert all("mpi" in own["backend_error"].lower() and own["backend"] == "gloo" for own in nodes)


def test_ddp_timeout(nodes: list[dict[str, Any]]) -> None:
    assert [own["timeout"] for own in nodes] == [77, 77]  # 1800 by default


def test_log_on_each_node_and_log_level_replica(nodes: list[dict[str, Any]]) -> None:
    assert [own["level True"] for own in nodes] == [logging.INFO] * 2
    assert [own["level False"] for own in nodes] == [logging.INFO, logging.ERROR]


def test_save_on_each_node(nodes: list[dict[str, Any]]) -> None:
    assert [own["checkpoints True"] for own in nodes] == [["checkpoint-1"]] * 2
    assert [own["checkpoints False"] for own in nodes] == [["checkpoint-1"], []]
