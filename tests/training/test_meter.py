"""The figures of a log entry by hand, and what is collected of them outlives a checkpoint."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from hf_mtl.training.meter import TaskMeter
from hf_mtl.training.optimization import TaskOptimizer
from hf_mtl.training.settings import TaskSettings
from hf_mtl.training.step import StepResult

CLOCK = ("tokens_per_second", "memory_mib")


def _result(losses: dict[str, float], norms: dict[str, float], **more: object) -> StepResult:
    return StepResult(losses, norms, **({"computed": 10, "real": 9} | more))  # type: ignore[arg-type]


def _meter() -> TaskMeter:
    """Two rounds: `a` in both, `b` in the second."""
    meter = TaskMeter()
    meter.add_round(_result({"a": 2.0}, {"a": 0.5}, weights={"a": 0.25}), {"a": 7})
    meter.add_round(
        _result({"a": 4.0, "b": 1.0}, {"a": 0.75, "b": 3.0}, computed=30, real=21), {"a": 5, "b": 6}
    )
    return meter


def _resumed(meter: TaskMeter) -> TaskMeter:
    other = TaskMeter()
    other.load_state_dict(json.loads(json.dumps(meter.state_dict())))
    return other


def _entries(meter: TaskMeter) -> dict[str, float]:
    return {key: value for key, value in meter.drain({}).items() if key not in CLOCK}


@pytest.mark.parametrize("resumed", [False, True])
def test_an_entry_has_the_means_since_the_last_one(resumed: bool) -> None:
    meter = _resumed(_meter()) if resumed else _meter()
    first = {
        "a/loss": 3.0,
        "a/tokens": 12,
        "b/loss": 1.0,
        "b/tokens": 6,
        "a/loss_weight": 0.25,
        "padding": 0.25,
    }
    assert _entries(meter) == first
    meter.add_round(_result({"b": 5.0}, {"b": 1.0}), {"b": 1})
    assert _entries(meter) == {"b/loss": 5.0, "b/tokens": 7, "padding": pytest.approx(0.1)}
    assert _entries(meter) == {"padding": 0.0}  # nothing was computed


@pytest.mark.parametrize("resumed", [False, True])
def test_the_last_norms_stand_beside_the_learning_rates(resumed: bool) -> None:
    meter = _resumed(_meter()) if resumed else _meter()
    settings = TaskSettings(2, 10, 1e-2, "constant", 0.0, 0.1, 0.5)
    owners = {
        name: TaskOptimizer({"weight": nn.Parameter(torch.ones(2))}, settings, torch.optim.SGD)
        for name in ("a", "b", "absent")
    }
    entries = {key: value for key, value in meter.drain(owners).items() if key.endswith(("norm", "rate"))}
    assert entries == {
        "a/learning_rate": 1e-2,
        "a/grad_norm": 0.75,
        "b/learning_rate": 1e-2,
        "b/grad_norm": 3.0,
    }


def test_the_clock_stands_still_in_pauses_and_goes_on_after_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("hf_mtl.training.meter.time.perf_counter", lambda: now[0])
    meter = TaskMeter()
    now[0] += 50  # loading
    meter.start()
    meter.add_round(_result({"a": 2.0}, {}), {"a": 60})
    now[0] += 5
    meter.pause(2.0)
    assert meter.drain({})["tokens_per_second"] == 20.0 and meter.seconds == 3.0
    resumed = _resumed(meter)
    resumed.start()
    resumed.add_round(_result({"a": 2.0}, {}), {"a": 10})
    now[0] += 4
    assert resumed.drain({})["tokens_per_second"] == 2.5 and resumed.seconds == 7.0
    assert resumed.tokens == {"a": 70}
