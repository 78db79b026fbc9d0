"""The transfer matrix of tiny tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from peft import LoraConfig
from plain_peft import shake

from hf_mtl import PromptCompletion, RoutedModel, Task, TaskSuite
from hf_mtl.evaluation import Evaluator, transfer
from hf_mtl.models import load_base, load_processor, place_task

TEMPLATE = PromptCompletion("{text}:", " {label}")


def _task(name: str, words: list[str]) -> Task:
    rows = Dataset.from_list([{"text": f"{word} {name}", "label": word} for word in words])
    adapter = LoraConfig(r=2, target_modules=["q_proj"])
    return Task(name, eval=rows, template=TEMPLATE, adapter=adapter, metrics=["perplexity"])


def test_each_adapter_on_each_tasks_rows(tiny_llama: Path) -> None:
    base, identity = load_base(tiny_llama)
    model = RoutedModel(base, identity=identity)
    suite = TaskSuite([_task("a", ["x", "y"]), _task("b", ["word", "z"])])
    for number, task in enumerate(suite.values()):
        place_task(model, task, seed=0)
        shake(model, task.name, seed=number)
    processor = load_processor(tiny_llama)
    found = transfer(model, processor, suite, token_budget=512)
    assert {trained: list(own) for trained, own in found.items()} == {"a": ["a", "b"], "b": ["a", "b"]}
    alone = Evaluator(model, processor, suite, token_budget=512).run()
    for name in suite:
        assert found[name][name]["loss"] == pytest.approx(alone[name]["loss"], rel=1e-5)
    assert found["a"]["b"]["loss"] != found["b"]["b"]["loss"]
