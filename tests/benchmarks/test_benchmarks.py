"""The benchmarks compare like with like, and the table says what the JSON files hold."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _module(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


def test_any_number_of_tasks_gets_the_same_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = _module("workload", monkeypatch)
    rounds = {k: workload.divided(workload.Spec(tasks=k), 3) for k in (1, 4, 16, 64)}
    for k, examples in rounds.items():
        assert sum(len(example["ids"]) for example in examples) == 4096
        assert [example["ids"] for example in examples] == [example["ids"] for example in rounds[1]]
        tasks = [example["task"] for example in examples]
        assert tasks == sorted(tasks)
        assert set(tasks) == set(range(k))


def test_share_of_labels_and_repeatability(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = _module("workload", monkeypatch)
    examples = workload.mixed(workload.Spec(), 1, share=0.25)
    assert examples == workload.mixed(workload.Spec(), 1, share=0.25)
    assert examples != workload.mixed(workload.Spec(), 2, share=0.25)
    tokens = sum(len(example["ids"]) for example in examples)
    labels = sum(len(example["ids"]) - example["learned"] for example in examples)
    assert labels / tokens == pytest.approx(0.25, abs=0.02)
    assert all(example["learned"] >= 1 for example in examples)


def _entry(*seconds: float) -> dict[str, object]:
    return {
        "samples": [
            {"tokens": 100, "seconds": s, "optimizer_seconds": s / 9, "peak_mib": 50.4, "loss": 9.0}
            for s in seconds
        ]
    }


def test_table_states_medians_of_ratios_per_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = _module("table", monkeypatch)
    result = {
        "name": "model-x",
        "device": "a CPU",
        "commit": "abc",
        "rounds": 3,
        "left_out": ["gone"],
        "entries": {"routed": _entry(1, 2, 4), "peft: K separate runs": _entry(2, 3, 6)},
    }
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "model-x.json").write_text(json.dumps(result))
    (tmp_path / "README.md").write_text(f"before {table.BEGIN} old {table.END} after")
    monkeypatch.setattr(table, "HERE", tmp_path)
    table.main()
    written = (tmp_path / "README.md").read_text()
    assert written.startswith("before ") and written.endswith(" after") and " old " not in written
    assert "| routed | 50 (25 to 100) | 1.50 | 10.0% of the step | 50 |" in written
    assert "Not measured: gone." in written


def test_both_ways_of_cutting_logits_give_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = _module("heads", monkeypatch)
    monkeypatch.setattr(heads, "LABELS", 32)
    monkeypatch.setattr(heads, "VOCABULARY", 50)
    seconds, same = heads.backward_of_heads(8, runs=2)
    assert same
    assert {form: len(own) for form, own in seconds.items()} == {"slices": 2, "split": 2}
