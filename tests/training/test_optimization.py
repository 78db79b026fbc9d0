"""A task's clip, schedule and state are those of torch and transformers, counted in its own steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import TrainingArguments, get_scheduler

from hf_mtl.training.optimization import SuiteOptimizer, SuiteSchedule, TaskOptimizer
from hf_mtl.training.settings import TaskSettings

SETTINGS = TaskSettings(2, 10, 1e-2, "linear", 2.0, 0.1, 1.0)


def _task(settings: TaskSettings = SETTINGS, value: float = 1.0) -> TaskOptimizer:
    weights = {name: nn.Parameter(torch.full((3,), value)) for name in ("lora_A.weight", "head.bias")}
    return TaskOptimizer(weights, settings, torch.optim.AdamW, undecayed=[weights["head.bias"]])


@pytest.mark.parametrize("size", [0.5, 0.99, 1.0, 1.01, 1.5, 30.0])
def test_clipping_is_torchs_own_on_both_sides_of_the_limit(size: float) -> None:
    direction = torch.tensor([2.0, 1.0, 2.0]) / 3 * size
    theirs = nn.Parameter(torch.zeros(3))
    theirs.grad = direction.clone()
    norm = nn.utils.clip_grad_norm_([theirs], 1.0)
    task = TaskOptimizer({"weight": nn.Parameter(torch.zeros(3))}, SETTINGS, torch.optim.AdamW)
    task.start_round()
    (gradient,) = task.gradients()
    gradient.copy_(direction)
    task.clip(float(task.norm()))
    torch.testing.assert_close(gradient, theirs.grad, rtol=1e-6, atol=0)
    assert float(norm) == pytest.approx(size)
    assert torch.equal(gradient, direction) == (size <= 0.99)


@pytest.mark.parametrize("limit", [0.0, 1e9])
def test_no_limit_leaves_the_gradient_to_the_bit(limit: float) -> None:
    task = _task(replace(SETTINGS, max_grad_norm=limit))
    task.start_round()
    for gradient in task.gradients():
        gradient.fill_(1000.0)
    task.clip(float(task.norm()))
    assert all(torch.equal(gradient, torch.full((3,), 1000.0)) for gradient in task.gradients())


@pytest.mark.parametrize("warmup", [0.0, 0.25, 0.99, 1.0, 1.5, 2.0])
def test_warmup_is_transformers_own(warmup: float) -> None:
    stock = TrainingArguments("unused", warmup_steps=warmup, report_to="none", use_cpu=True)
    assert replace(SETTINGS, warmup_steps=warmup).warmup() == stock.get_warmup_steps(SETTINGS.steps)


def test_the_schedule_counts_the_tasks_own_steps() -> None:
    tasks = {"often": _task(), "seldom": _task()}
    suite, schedule = SuiteOptimizer(tasks), SuiteSchedule(tasks)
    theirs = torch.optim.AdamW([nn.Parameter(torch.ones(3))], lr=1e-2)
    stock = get_scheduler("linear", theirs, 2, 10)
    rates = []
    for _ in range(6):
        rates.append(theirs.param_groups[0]["lr"])
        theirs.step()
        stock.step()
    for number in range(6):
        suite.start_round({"often", "seldom"} if number % 3 == 0 else {"often"})
        assert suite.present().keys() == ({"often", "seldom"} if number % 3 == 0 else {"often"})
        suite.step()
        schedule.step()
        suite.zero_grad()
        assert tasks["often"].learning_rate == pytest.approx(rates[number])
        assert tasks["seldom"].learning_rate == pytest.approx(rates[number // 3])
        assert tasks["often"].steps == number + 1 and tasks["seldom"].steps == number // 3 + 1
    assert schedule.get_last_lr() == pytest.approx([rates[5] - (rates[4] - rates[5]), rates[2]])


@pytest.mark.parametrize("cls", [torch.optim.AdamW, torch.optim.SGD])
def test_state_goes_on_by_the_names_of_parameters(cls: Callable[..., torch.optim.Optimizer]) -> None:
    def moved(task: TaskOptimizer, steps: range) -> TaskOptimizer:
        for step in steps:
            task.start_round()
            for i, gradient in enumerate(task.gradients()):
                gradient.copy_(torch.tensor([1.0, -2.0, 3.0]) * (step + i + 1))
            task.step()
            task.schedule.step()
        return task

    def new() -> TaskOptimizer:
        weights = {name: nn.Parameter(torch.ones(3)) for name in ("lora_A.weight", "head.bias")}
        options = {"momentum": 0.9} if cls is torch.optim.SGD else {}
        undecayed = [weights["head.bias"]]
        return TaskOptimizer(weights, SETTINGS, lambda groups: cls(groups, **options), undecayed)

    whole, half, resumed = moved(new(), range(6)), moved(new(), range(3)), new()
    with torch.no_grad():
        for flat, other in zip(resumed.flats, half.flats, strict=True):
            flat.flat.copy_(other.flat)
    resumed.load_state_tensors({key: value.clone() for key, value in half.state_tensors().items()})
    resumed.rewind(half.steps)
    assert resumed.next_learning_rate == half.next_learning_rate and resumed.steps == 3
    moved(resumed, range(3, 6))
    assert all(torch.equal(a.flat, b.flat) for a, b in zip(whole.flats, resumed.flats, strict=True))
    assert whole.next_learning_rate == resumed.next_learning_rate


def test_state_from_before_a_parameter_left_the_decayed_ones() -> None:
    """Groups of one owner step together, so the counter of the group that was there is the new one's too."""

    def new(*undecayed: str) -> TaskOptimizer:
        weights = {name: nn.Parameter(torch.ones(3)) for name in ("lora_A.weight", "shared.scale")}
        spared = [weights[name] for name in undecayed]
        return TaskOptimizer(weights, SETTINGS, torch.optim.AdamW, spared)

    before, after = new(), new("shared.scale")
    before.start_round()
    for gradient in before.gradients():
        gradient.fill_(1.0)
    before.step()
    after.load_state_tensors(before.state_tensors())
    moments = {key: value for key, value in after.state_tensors().items() if not key.startswith("group")}
    assert moments.keys() == {
        f"{name}:{key}" for name in ("lora_A.weight", "shared.scale") for key in ("exp_avg", "exp_avg_sq")
    }
    assert all(torch.equal(value, before.state_tensors()[key]) for key, value in moments.items())
    after.start_round()
    after.step()
    assert [int(after.state_tensors()[f"group {i}:step"]) for i in range(2)] == [2, 2]
