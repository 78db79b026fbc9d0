"""Sections that are taken to be right without asking transformers or peft: what the classes themselves say of them."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping

import pytest

from hf_mtl.recipe.arguments import argument_problems
from hf_mtl.recipe.peft_configs import adapter_problems
from hf_mtl.recipe.plain_settings import (
    PLAIN_ARGUMENTS,
    PLAIN_LORA,
    is_plain_lora,
    is_plain_training,
)
from hf_mtl.tasks import sharing_of, suite_objective

VALUES: tuple[object, ...] = (
    -1, 0, 1, 2, 3.0, 1024, 2**40, -0.5, 1e-300, 0.5, 0.999, 1.0, 1e300, float("inf"), float("nan"), True, False, "",
    "1", "no", "none", "steps", "epoch", "best", "required", "relaxed", "linear", "cosine", "constant",
    "constant_with_warmup", "polynomial", "greedy", "LORA", "all-linear", "q_proj", ["q_proj"], ["q_proj", 1], [],
    None, {},
)  # fmt: skip


def training_problems(values: Mapping[str, object]) -> list[str]:
    found: list[str] = []
    argument_problems(values, lambda path, text: found.append(f"{path}: {text}"))
    return found


def lora_problems(values: Mapping[str, object]) -> list[str]:
    found: list[str] = []
    adapter_problems(values, lambda name, text: found.append(f"{name}: {text}"))
    return found


@pytest.mark.parametrize("name", PLAIN_ARGUMENTS)
def test_values_of_an_argument(name: str) -> None:
    plain = [value for value in VALUES if PLAIN_ARGUMENTS[name](value)]
    assert plain
    for value in (plain[0], plain[-1]):
        assert training_problems({name: value}) == []


def test_arguments_together() -> None:
    draw = random.Random(0)
    plain = {name: [v for v in VALUES if check(v)] for name, check in PLAIN_ARGUMENTS.items()}
    for _ in range(40):
        names = draw.sample(sorted(plain), draw.randrange(2, len(plain) + 1))
        values = {name: draw.choice(plain[name]) for name in names}
        assert training_problems(values) == [], values


def test_values_of_a_lora() -> None:
    draw = random.Random(0)
    plain = {name: [v for v in VALUES if check(v)] for name, check in PLAIN_LORA.items()}
    assert all(plain.values())
    for name, values in plain.items():
        for value in values:
            assert lora_problems({name: value}) == []
    for _ in range(40):
        names = draw.sample(sorted(plain), draw.randrange(len(plain) + 1))
        chosen = {name: draw.choice(plain[name]) for name in names}
        assert lora_problems(chosen) == [], chosen


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rat": 1e-3},
        {"learning_rate": "1e-3"},
        {"max_steps": 0},
        {"seed": True},
        {"token_budget": 1000},
        {"bf16": True},
        {"lr_scheduler_type": "greedy"},
        {"load_best_model_at_end": True},
    ],
)
def test_other_arguments_are_put_to_the_class(values: dict[str, object]) -> None:
    assert not is_plain_training(values, [])


def test_surroundings_that_make_other_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in os.environ if name.startswith(("ACCELERATE_", "RANK", "WORLD_SIZE", "LOCAL_RANK"))
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("hf_mtl.recipe.plain_settings._has_at_most_one_gpu", lambda: True)
    assert is_plain_training({"max_steps": 3}, [None])
    assert not is_plain_training({"max_steps": 3}, [None, "sgd"])
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert not is_plain_training({"max_steps": 3}, [None])
    assert "mixed_precision" in training_problems({"max_steps": 3})[0]


def test_other_adapters_are_put_to_the_class() -> None:
    assert is_plain_lora({}) and not is_plain_lora({"peft_type": "IA3"}) and not is_plain_lora({"rank": 8})
    assert not is_plain_lora({"r": 8, "use_dora": True})


def test_the_usual_sharing_and_objective_fit_any_tasks() -> None:
    for names in (["a"], ["a", "b", "c"]):
        sharing_of("private").shared_by(names)
        assert suite_objective("equal").problems(names) == []
