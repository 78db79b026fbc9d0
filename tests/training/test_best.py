"""A task's best figure, the weights behind it, and when its patience is at an end."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch
from torch import nn

from hf_mtl.errors import ConfigError
from hf_mtl.training.best import BestWeights
from hf_mtl.training.owners import Group
from hf_mtl.training.settings import TaskSettings
from hf_mtl.training.state import State, joined, split

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


def _alone(tasks: Iterable[str]) -> list[Group]:
    return [Group((name,), (name,)) for name in tasks]


def _followed(*, resume_after: int | None = None) -> tuple[BestWeights, dict[str, dict[str, nn.Parameter]]]:
    settings = {"falling": FALLING, "rising": RISING, "patient": PATIENT}
    best = BestWeights(settings, _alone(settings), keep=True)
    parameters = {name: {"w": nn.Parameter(torch.zeros(2))} for name in settings}
    for number, (loss, accuracy, stopped) in enumerate(FIGURES):
        for own in parameters.values():
            own["w"].data.fill_(float(number))
        found = {name: {"loss": loss, "accuracy": accuracy} for name in settings}
        assert best.evaluated(found, parameters, number) == stopped
        if number == resume_after:
            state = _read_again(best)
            best = BestWeights(settings, _alone(settings), keep=True)
            best.load_state_dict(state)
    return best, parameters


def _read_again(best: BestWeights) -> State:
    values, tensors = split(best.state_dict())
    return joined(json.loads(json.dumps(values)), tensors)


@pytest.mark.parametrize("resume_after", [None, 0, 1, 2, 3])
def test_each_task_by_its_own_metric_and_patience(resume_after: int | None) -> None:
    best, parameters = _followed(resume_after=resume_after)
    records = {name: (record.value, record.round, record.waited) for name, record in best.records.items()}
    assert records == {"falling": (2.0, 1, 3), "rising": (0.3, 1, 3), "patient": (2.0, 1, 3)}
    best.restore(parameters)
    assert all(own["w"].tolist() == [1.0, 1.0] for own in parameters.values())


def test_without_keeping_there_is_nothing_to_restore() -> None:
    best = BestWeights({"a": FALLING}, _alone("a"), keep=False)
    parameters = {"a": {"w": nn.Parameter(torch.ones(2))}}
    assert best.evaluated({"a": {"loss": 1.0}, "elsewhere": {}}, parameters, 1) == []
    best.restore({"a": {"w": nn.Parameter(torch.zeros(2))}})
    assert best.weights == {} and best.records["a"].value == 1.0


def test_a_metric_that_is_not_there() -> None:
    with pytest.raises(
        ConfigError, match=r"task 'a': metric_for_best_model='accuracy' is not among .* 'loss'"
    ):
        BestWeights({"a": RISING}, _alone("a"), keep=True).evaluated({"a": {"loss": 1.0}}, {}, 1)


BOUND = Group(("falling", "rising", "unmeasured"), ("falling", "rising", "unmeasured", "shared/s"))
TOGETHER = [  # of five evaluations, and the mean of minus a loss and an accuracy
    (3.0, 0.75, -1.125),
    (2.0, 0.0, -1.0),  # the loss is best
    (2.25, 0.5, -0.875),
    (1.875, math.nan, math.nan),
    (2.5, 0.75, -0.875),  # as good is no better
]


def _bound(tasks: Group, *, keep: bool = True) -> BestWeights:
    return BestWeights({"falling": PATIENT, "rising": RISING}, [tasks], keep=keep)


@pytest.mark.parametrize("resume_after", [None, 0, 2, 3])
def test_tasks_that_share_parameters_have_one_best_round(resume_after: int | None) -> None:
    best = _bound(BOUND)
    parameters = {owner: {"w": nn.Parameter(torch.zeros(2))} for owner in BOUND.owners}
    means = []
    for number, (loss, accuracy, _) in enumerate(TOGETHER):
        for own in parameters.values():
            own["w"].data.fill_(float(number))
        best.evaluated({"falling": {"loss": loss}, "rising": {"accuracy": accuracy}}, parameters, number)
        means.append(best.rounds[BOUND].mean)
        if number == resume_after:
            state = _read_again(best)
            best = _bound(BOUND)
            best.load_state_dict(state)
    assert means == [TOGETHER[0][2], TOGETHER[1][2], *[TOGETHER[2][2]] * 3]
    assert best.rounds[BOUND].round == 2 and best.rounds[BOUND].figures == {"falling": 2.25, "rising": 0.5}
    assert [best.records[name].round for name in ("falling", "rising")] == [3, 0]
    best.restore(parameters)
    assert [own["w"].tolist() for own in parameters.values()] == [[2.0, 2.0]] * 4


@pytest.mark.parametrize("keep", [True, False])
def test_a_group_of_other_tasks_starts_anew(caplog: pytest.LogCaptureFixture, keep: bool) -> None:
    parameters = {owner: {"w": nn.Parameter(torch.zeros(2))} for owner in (*BOUND.owners, "shared/t")}
    before = _bound(BOUND, keep=keep)
    before.evaluated({"falling": {"loss": 1.0}, "rising": {"accuracy": 1.0}}, parameters, 1)
    for group in (Group(("falling", "rising"), ("falling", "rising", "shared/s")), *_alone(["falling"])):
        after = _bound(group)
        after.load_state_dict(before.state_dict())
        assert after.rounds == {} and after.weights == {} and after.records == before.records
    assert [record.message for record in caplog.records] == [
        "resume: 'falling', 'rising' share parameters now, and other tasks did before; their best round starts anew.",
        "resume: 'falling' shares no parameters now, and did before; its best round starts anew.",
    ]


def test_weights_that_were_not_kept_cannot_be_restored(caplog: pytest.LogCaptureFixture) -> None:
    parameters = {owner: {"w": nn.Parameter(torch.zeros(2))} for owner in BOUND.owners}
    before, after = _bound(BOUND, keep=False), _bound(BOUND)
    figures = {"falling": {"loss": 1.0}, "rising": {"accuracy": 1.0}}
    before.evaluated(figures, parameters, 1)
    after.load_state_dict(before.state_dict())
    assert after.rounds == {}
    after.evaluated(figures | {"rising": {"accuracy": math.nan}}, parameters, 2)
    after.restore(parameters)
    assert [record.message for record in caplog.records] == [
        "'falling', 'rising', 'unmeasured': no evaluation had finite figures only, so there are no best weights; the "
        "last ones stay."
    ]
