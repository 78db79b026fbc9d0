"""Benchmarks keep what they measured: figures are written as they come, and nothing can fail after them."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import driver
import layer
import pytest
import sharing
import torch
import trainer
from record import commit, versions, write
from workload import Example, Spec, mixed

pytestmark = pytest.mark.slow  # it runs benchmarks as processes

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.slow
def test_gpu_benchmark_on_the_cpu_without_git(tmp_path: Path) -> None:
    """The whole script, from a copy that no repository holds."""
    for name in ("gpu.py", "record.py"):
        shutil.copy(BENCHMARKS / name, tmp_path)
    command = [sys.executable, "gpu.py", "--device", "cpu", "--quick", "--folder", "deep/figures"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "deep" / "figures" / "gpu.json").read_text())
    assert result["commit"] == "unknown" and result["versions"]["torch"] and result["left_out"] == []
    assert set(result["tasks"]) == {"1", "2"}
    for ways in result["tasks"].values():
        assert set(ways) == {"routed", "one_peft_adapter_packed", "set_adapter_packed_per_task"}
        assert all(way["tokens_per_second"] > 0 for way in ways.values())


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to measure")
def test_gpu_benchmark_says_what_to_do_without_a_gpu(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), "--folder", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--device cpu runs the same" in done.stderr


@pytest.mark.slow
def test_a_comparison_that_is_cut_off_leaves_its_rounds(tmp_path: Path) -> None:
    spec = Spec(shape="tiny", tasks=2)

    def batches(spec: Spec, index: int) -> list[Example]:
        if index == 2:
            raise KeyboardInterrupt
        return mixed(spec, index)

    entries = [driver.Entry("routed", "routed", spec), driver.Entry("alone", "peft separate runs", spec)]
    with pytest.raises(KeyboardInterrupt):
        driver.measure("cut", entries, batches, 5, folder=tmp_path)
    result = json.loads((tmp_path / "cut.json").read_text())
    for entry in result["entries"].values():
        assert len(entry["samples"]) == 1 and entry["samples"][0]["tokens"] > 0
    losses = [entry["warm_up"]["loss"] for entry in result["entries"].values()]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5), "all variants compute the same"


@pytest.mark.slow
def test_rounds_of_the_trainer_and_of_structures_run(tmp_path: Path, one_thread: None) -> None:
    found = trainer.measure(2, 1, tmp_path, shape="tiny")
    assert len(found["rounds"]) >= 1 and 0 < found["overhead"] < 1
    for structure in sharing.STRUCTURES.values():
        assert sharing.one_round(sharing.trainer_of(structure, 2, tmp_path, shape="tiny")) > 0
    assert sharing.figures({"private": [2.0, 4.0], "soft": [3.0, 4.0]})["ratios"] == {
        "private": 1.0,
        "soft": 1.25,
    }


def test_forms_of_a_layer(one_thread: None) -> None:
    figures = layer.measure(64, 64, 2, torch.bfloat16, 1)
    assert set(figures) == {"base", "peft", "segments", "fp32", "own", "grouped_mm"}


@pytest.mark.parametrize("file", sorted(BENCHMARKS.glob("*.py")), ids=lambda file: file.stem)
def test_every_benchmark_can_be_imported(file: Path) -> None:
    importlib.import_module(file.stem)


def test_commit_without_a_repository_and_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit(tmp_path) == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == "unknown"


def test_versions_of_what_is_not_installed() -> None:
    assert versions("no-such-package")["no-such-package"] == "unknown"


def test_a_result_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b", "x", {"figures": [1]})
    with pytest.raises(TypeError):
        write(tmp_path / "a" / "b", "x", {"figures": object()})
    assert json.loads((tmp_path / "a" / "b" / "x.json").read_text()) == {"figures": [1]}
