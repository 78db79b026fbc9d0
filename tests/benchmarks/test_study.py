"""The study compares what it says: the same tasks and rows, as many trained parameters, all tasks to the last round."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from datasets import Dataset
from peft import LoraConfig

from hf_mtl import PromptCompletion, Task, TaskSuite
from hf_mtl.evaluation import Comparison
from hf_mtl.recipe import load_recipe
from hf_mtl.recipe.schema import Recipe
from hf_mtl.tasks import sharing_of
from hf_mtl.training.mixtures import (
    MixtureFacts,
    Participation,
    StopRule,
    TaskFacts,
    mixture_from,
    planned_rounds,
)

STUDY = Path(__file__).parents[2] / "benchmarks" / "study" / "recipe.yaml"
ROWS = {
    "sentiment": 2000, "topics": 2000, "entities": 2000, "chunks": 200, "supersenses": 300, "ratings": 200,
}  # fmt: skip
OBJECTIVES = {"": "equal", "-uw": "uncertainty", "-pcgrad": "pcgrad", "-upgrad": "upgrad"}
ROUNDS = 125


@pytest.fixture(scope="module")
def study() -> Recipe:
    return load_recipe(STUDY)


def steps(recipe: Recipe, name: str) -> int:
    epochs = recipe.tasks[name].num_train_epochs
    assert epochs is not None
    return math.ceil(ROWS[name] / 16) * int(epochs)


def test_the_first_line_is_the_command() -> None:
    first, text = STUDY.read_text(encoding="utf-8").splitlines()[0], (STUDY.parent / "README.md").read_text()
    assert first == "# hf-mtl compare benchmarks/study/recipe.yaml"
    assert first.removeprefix("# ") in text


def test_tasks(study: Recipe) -> None:
    rows = {name: task.train.max_examples for name, task in study.tasks.items() if task.train is not None}
    assert rows == ROWS
    assert {task.eval.max_examples for task in study.tasks.values() if task.eval is not None} == {500}
    assert study.sharing == "private", "as it stands it is `alone`"


def test_variants_cross_structures_and_objectives(study: Recipe) -> None:
    for structure in ("shared", "shared+private"):
        for end, objective in OBJECTIVES.items():
            recipe = load_recipe(
                STUDY, [f"{k}={json.dumps(v)}" for k, v in study.variants[structure + end].items()]
            )
            assert recipe.sharing == {"name": structure, "match_parameters": True}
            assert recipe.objective == objective
    softs = {name: own["sharing"] for name, own in study.variants.items() if name.startswith("soft")}
    assert softs == {
        name: {"name": "soft", "strength": strength}
        for name, strength in (("soft", 0.1), ("soft-weak", 0.01))
    }, "without shared parameters an objective has no effect"
    halves = {name for name in study.variants if name.endswith("-half-rate")}
    assert {study.variants[name]["training.learning_rate"] for name in halves} == {5e-4}
    assert len(study.variants) == 2 * len(OBJECTIVES) + len(softs) + len(halves)


def test_the_results_are_those_of_the_recipe(study: Recipe) -> None:
    found = Comparison.load(STUDY.parents[1] / "results" / "study.json")
    assert {variant.name for variant in found.variants} == {"alone", *study.variants}
    assert found.seeds == (0, 1, 2)
    text = (STUDY.parent / "README.md").read_text(encoding="utf-8")
    for name in study.variants:
        for task, metrics in found.greater_is_better.items():
            assert found.score(name, task, next(iter(metrics))).text() in text
        change = found.change(name)
        assert change.half is not None
        assert f"{100 * change.mean:+.1f} ± {100 * change.half:.1f} %" in text


def test_all_tasks_train_to_the_end(study: Recipe) -> None:
    """Planned as a run plans them: nobody leaves while others change what it shares."""
    facts = {
        name: TaskFacts(rows=rows, tokens_per_batch=1.0, batch_size=16, planned_steps=steps(study, name))
        for name, rows in ROWS.items()
    }
    mixture = study.training["mixture"]
    assert isinstance(mixture, dict)
    for name in ROWS:
        assert mixture["rates"][name] == steps(study, name) / ROUNDS
    planned = planned_rounds(
        lambda: Participation(mixture_from(mixture, list(facts))),
        MixtureFacts(round=0, rounds=0, tasks=facts),
        StopRule.ONCE,
    )
    assert planned == (ROUNDS, {name: steps(study, name) for name in ROWS})


@pytest.mark.parametrize("variant", ["shared", "shared+private", "soft"])
def test_variants_have_the_parameters_of_alone(study: Recipe, variant: str) -> None:
    """All adapters stand on the same layers, so their ranks tell."""
    adapter = LoraConfig(**study.defaults.adapter)  # type: ignore[arg-type]  # plain data of the YAML
    rows = Dataset.from_list([{"text": "a", "label": "b"}])
    template = PromptCompletion("{text}", " {label}")
    suite = TaskSuite(Task(name, train=rows, template=template, adapter=adapter) for name in study.tasks)
    spec = study.variants[variant]["sharing"]
    assert isinstance(spec, str | dict)
    plan = sharing_of(spec).plan(suite)
    configs = [*plan.shared.values(), *(own for own in plan.private.values() if own is not None)]
    assert sum(vars(config)["r"] for config in configs) == 8 * len(ROWS)
