"""Two processes make what one makes of the same global batches, in float64 to 1e-10; and their sums, by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from forked_writer import ROOT
from process_cases import CASES, POISONED, run_case
from torchrun import torchrun

import hf_mtl

TOLERANCE = 1e-10
LOSS = 1e-6  # training losses are summed in fp32, as everywhere


# The module alone, since its package takes ten times as long to import.
SCRIPT = """
import importlib.util, json, sys
import torch

rank, meeting, file = int(sys.argv[1]), sys.argv[2], sys.argv[3]
spec = importlib.util.spec_from_file_location("processes", file)
processes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(processes)
alone = processes.gathered("alone"), processes.several()
torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
buffers = [torch.tensor([1.0, 2.0]) * (rank + 1), torch.tensor([10.0]) * (rank + 1)]
sums = processes.sum_over_processes(buffers, {"one": torch.tensor(0.5 + rank), "two": torch.tensor(rank)})
processes.wait()
print(json.dumps([
    alone, processes.several(), [buffer.tolist() for buffer in buffers], {key: float(own) for key, own in sums.items()},
    processes.gathered({"rank": rank}),
]))
torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def of_two(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes ended all cases with; one start for all, since it takes longest."""
    out = tmp_path_factory.mktemp("processes")
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "training")])
    script = str(Path(__file__).with_name("process_cases.py"))
    done = subprocess.run(
        torchrun(script, str(tiny_llama), str(out)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    norm = float(b.double().norm())
    distance = float((a.double() - b.double()).norm())
    return distance / norm if norm else distance


def _same_log(one: list[dict[str, float]], two: list[dict[str, float]]) -> None:
    assert [entry.keys() for entry in one] == [entry.keys() for entry in two]
    for first, second in zip(one, two, strict=True):
        for key, value in first.items():
            if key == "padding":  # of this process's own tokens
                continue
            tolerance = TOLERANCE if key.startswith("eval_") else LOSS
            assert second[key] == pytest.approx(value, rel=tolerance, nan_ok=True), key


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_processes_make_what_one_makes(
    tiny_llama: Path, tmp_path: Path, of_two: list[dict[str, Any]], case: str
) -> None:
    first, second = (ends[case] for ends in of_two)
    one = run_case(case, tiny_llama, tmp_path)
    assert one["state"].keys() == first["state"].keys() == second["state"].keys()
    for key, value in one["state"].items():
        assert torch.equal(first["state"][key], second["state"][key]), key
        assert _apart(first["state"][key], value) < TOLERANCE, key
    _same_log(one["log"], first["log"])
    assert one["steps"] == first["steps"] == second["steps"]
    assert one["updates"] == first["updates"] == second["updates"]


@pytest.mark.slow
def test_a_row_that_one_process_has(of_two: list[dict[str, Any]]) -> None:
    """So the other one has no gradient of `verbs` of its own, and yet makes the same update."""
    first, second = (ends["one row"]["computed"] for ends in of_two)
    for ours, theirs in zip(first, second, strict=True):
        assert ("verbs" in ours) != ("verbs" in theirs)
    assert any("verbs" in names for names in first) and any("verbs" in names for names in second)
    both = [set(ours) & set(theirs) for ours, theirs in zip(first, second, strict=True)]
    assert any("mlp" in names for names in both)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["nan", "nan, shared", "an aggregator, nan"])
def test_a_nan_in_one_process_is_skipped_by_both(of_two: list[dict[str, Any]], case: str) -> None:
    first, second = (ends[case] for ends in of_two)
    assert first["incidents"] == second["incidents"]
    (incident,) = first["incidents"]
    assert incident["task"] == "mlp" and incident["round"] == POISONED
    assert "mlp" in first["computed"][POISONED] and "mlp" in second["computed"][POISONED]
    assert 0 < len(incident["rows"]) < 4  # of four: the process without a NaN had the others
    assert first["updates"]["mlp"] == 11 and first["updates"]["verbs"] == 12


def test_two_processes_add_up_and_tell_each_other(tmp_path: Path) -> None:
    file = str(Path(hf_mtl.__file__).parent / "training" / "processes.py")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(rank), str(tmp_path / "meeting"), file],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        printed = [process.communicate(timeout=120)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    for own in printed:
        assert json.loads(own.splitlines()[-1]) == [
            [["alone"], False],
            True,
            [[3.0, 6.0], [30.0]],
            {"one": 2.0, "two": 1.0},
            [{"rank": 0}, {"rank": 1}],
        ]
