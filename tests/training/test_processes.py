"""Two processes make what one makes of the same global batches, in float64 to 1e-10."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from forked_writer import ROOT
from process_cases import CASES, POISONED, run_case
from torchrun import torchrun

pytestmark = pytest.mark.slow

TOLERANCE = 1e-10
LOSS = 1e-6  # training losses are summed in fp32, as everywhere


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


def test_a_row_that_one_process_has(of_two: list[dict[str, Any]]) -> None:
    """So the other one has no gradient of `verbs` of its own, and yet makes the same update."""
    first, second = (ends["one row"]["computed"] for ends in of_two)
    for ours, theirs in zip(first, second, strict=True):
        assert ("verbs" in ours) != ("verbs" in theirs)
    assert any("verbs" in names for names in first) and any("verbs" in names for names in second)
    both = [set(ours) & set(theirs) for ours, theirs in zip(first, second, strict=True)]
    assert any("mlp" in names for names in both)


@pytest.mark.parametrize("case", ["nan", "nan, shared", "an aggregator, nan"])
def test_a_nan_in_one_process_is_skipped_by_both(of_two: list[dict[str, Any]], case: str) -> None:
    first, second = (ends[case] for ends in of_two)
    assert first["incidents"] == second["incidents"]
    (incident,) = first["incidents"]
    assert incident["task"] == "mlp" and incident["round"] == POISONED
    assert "mlp" in first["computed"][POISONED] and "mlp" in second["computed"][POISONED]
    assert 0 < len(incident["rows"]) < 4  # of four: the process without a NaN had the others
    assert first["updates"]["mlp"] == 11 and first["updates"]["verbs"] == 12
