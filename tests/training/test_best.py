"""A task's best figure, the weights behind it, and when its patience is at an end."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from hf_mtl.errors import ConfigError
from hf_mtl.training.best import BestWeights
from hf_mtl.training.settings import TaskSettings

FALLING = TaskSettings(2, 10, 1e-2, "linear", 2.0, 0.1, 1.0, patience=2)
RISING = replace(FALLING, metric="accuracy", greater_is_better=True)
PATIENT = replace(FALLING, patience=None)
FIGURES = [  # of five evaluations, and which tasks stop after each
    (3.0, 0.2, []),
    (2.0, 0.3, []),
    (2.0, math.nan, []),  # as good is no better
    (2.5, 0.1, ["falling", "rising"]),
    (2.5, 0.1, []),  # told once
]


def _followed(*, resume_after: int | None = None) -> tuple[BestWeights, dict[str, dict[str, nn.Parameter]]]:
    settings = {"falling": FALLING, "rising": RISING, "patient": PATIENT}
    best = BestWeights(settings, keep=True)
    parameters = {name: {"w": nn.Parameter(torch.zeros(2))} for name in settings}
    for number, (loss, accuracy, stopped) in enumerate(FIGURES):
        for own in parameters.values():
            own["w"].data.fill_(float(number))
        found = {name: {"loss": loss, "accuracy": accuracy} for name in settings}
        assert best.evaluated(found, parameters, number) == stopped
        if number == resume_after:
            state, weights = json.loads(json.dumps(best.state_dict())), best.weights
            best = BestWeights(settings, keep=True)
            best.load_state_dict(state)
            best.weights = weights
    return best, parameters


@pytest.mark.parametrize("resume_after", [None, 0, 1, 2, 3])
def test_each_task_by_its_own_metric_and_patience(resume_after: int | None) -> None:
    best, parameters = _followed(resume_after=resume_after)
    records = {name: (record.value, record.round, record.waited) for name, record in best.records.items()}
    assert records == {"falling": (2.0, 1, 3), "rising": (0.3, 1, 3), "patient": (2.0, 1, 3)}
    best.restore(parameters)
    assert all(own["w"].tolist() == [1.0, 1.0] for own in parameters.values())


def test_without_keeping_there_is_nothing_to_restore() -> None:
    best = BestWeights({"a": FALLING}, keep=False)
    parameters = {"a": {"w": nn.Parameter(torch.ones(2))}}
    assert best.evaluated({"a": {"loss": 1.0}, "elsewhere": {}}, parameters, 1) == []
    best.restore({"a": {"w": nn.Parameter(torch.zeros(2))}})
    assert best.weights == {} and best.records["a"].value == 1.0


def test_a_metric_that_is_not_there() -> None:
    with pytest.raises(
        ConfigError, match=r"task 'a': metric_for_best_model='accuracy' is not among .* 'loss'"
    ):
        BestWeights({"a": RISING}, keep=True).evaluated({"a": {"loss": 1.0}}, {}, 1)
