"""Kinds in one batch leave each other alone: logits, losses and gradients are those of a task by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from kind_cases import KINDS, KindCase, Ours, ours, task_of
from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig
from plain_peft import shake
from torch import Tensor

from hf_mtl.data import Chunk
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.tasks import EncodedSplit, Task, encode_split

MIXED = {
    "llama": ("single-label", "tags", "spans", "causal-lm", "label-scoring", "regression of 3"),
    "gpt2": ("pair", "tags", "spans", "causal-lm"),
    "bert": ("pair", "tags", "spans", "multi-label"),
    "modernbert-mean": ("single-label", "tags", "spans"),
    "t5": ("single-label", "tags", "spans", "seq2seq-lm", "label-scoring"),
}


def _near(actual: Tensor, expected: Tensor) -> bool:
    actual, expected = actual.detach(), expected.detach()
    return float((actual - expected).abs().max()) <= 1e-10 * float(expected.abs().max())


@pytest.mark.parametrize("base", MIXED)
def test_neighbours_change_nothing(bases: Callable[[str], Path], base: str) -> None:
    names = MIXED[base]
    own = ours(bases(base), *(task_of(name, KINDS[name]) for name in names), move=shake)
    logits, losses = own.run(*names)
    for name in names:
        alone, loss = own.run(name)
        assert _near(logits[name], alone[name]), name
        assert _near(losses[name], loss[name]), name
        expected = own.gradients(name)
        found = own.gradients(name, *(other for other in names if other != name))
        assert found.keys() == expected.keys()
        largest = max(float(each.abs().max()) for each in expected.values())
        assert largest > 0
        for key, each in expected.items():
            assert float((found[key] - each).abs().max()) < 1e-10 * largest, (name, key)


@pytest.mark.parametrize("base", ["llama", "bert"])
def test_prompts_and_prefixes_beside_heads_change_nothing(bases: Callable[[str], Path], base: str) -> None:
    adapters = {
        "single-label": PromptTuningConfig(num_virtual_tokens=3),
        "tags": PrefixTuningConfig(num_virtual_tokens=4),
        "spans": PromptTuningConfig(num_virtual_tokens=2),
        "regression": LoraConfig(r=2, target_modules="all-linear"),
    }
    tasks = [task_of(name, KINDS[name], adapter=adapter) for name, adapter in adapters.items()]
    own = ours(bases(base), *tasks, move=shake)
    logits, losses = own.run(*adapters)
    for name in adapters:
        alone, loss = own.run(name)
        assert _near(logits[name], alone[name])
        assert _near(losses[name], loss[name])


HALF = [0, None, 1, -100]


@pytest.mark.parametrize("base", ["llama", "bert", "t5"])
def test_two_heads_over_the_same_texts(bases: Callable[[str], Path], base: str) -> None:
    """Rows without a label for one of two tasks are, for that one, as if they were not there."""
    texts = [row["text"] for row in KINDS["single-label"].rows]
    rows = Dataset.from_list(
        [{"text": t, "mood": mood, "length": float(len(t))} for t, mood in zip(texts, HALF, strict=True)]
    )
    adapter = LoraConfig(r=4, target_modules="all-linear")
    length = Task(
        "length", eval=rows, kind="regression", columns={"label": "length"}, adapter=adapter, metrics=[]
    )

    def mood(rows: Dataset) -> Task:
        return Task(
            "mood",
            eval=rows,
            kind="text-classification",
            labels=["bad", "good"],
            columns={"label": "mood"},
            adapter=adapter,
            metrics=[],
        )

    own = ours(bases(base), mood(rows), length, move=shake)
    fewer = ours(bases(base), mood(rows.select([0, 2])), length, move=shake)
    assert [each.row for each in own.sequences("mood")] == [0, 2]
    assert own.splits["mood"].facts().unlabelled == 2
    for name in ("mood", "length"):
        first, second = own.run("mood", "length"), fewer.run("mood", "length")
        assert torch.equal(first[0][name], second[0][name])
        assert torch.equal(first[1][name], second[1][name])
        gradients = own.gradients(name, *({"mood", "length"} - {name}))
        others = fewer.gradients(name, *({"mood", "length"} - {name}))
        assert all(torch.equal(gradients[key], others[key]) for key in gradients)


def test_rows_without_any_label_are_told(bases: Callable[[str], Path]) -> None:
    case = replace(KINDS["single-label"], rows=[{"text": "a", "label": None}, {"text": "b", "label": -100}])
    with pytest.raises(DataError, match=r"task 't', eval: none of the 2 rows has a label"):
        ours(bases("bert"), task_of("t", case))


def _shared(case: KindCase) -> tuple[Task, Task]:
    return task_of("own", case), task_of("shared", replace(KINDS["causal-lm"], bases=()))


def test_a_stack_adds_another_adapter_below_a_head(bases: Callable[[str], Path]) -> None:
    """The route `own` is its adapter with a head and, below it, an adapter that another task uses too."""
    own = ours(bases("llama"), *_shared(KINDS["tags"]), move=shake)
    alone, _ = own.run("own")
    other, _ = own.run("shared")
    own.model.add_route("own", {"own": 1.0, "shared": 1.0})
    logits, losses = own.run("own", "shared")
    assert _near(logits["shared"], other["shared"])
    assert not _near(logits["own"], alone["own"])
    assert logits["own"].shape == alone["own"].shape
    parameters = own.model.adapter_parameters("shared")
    found = torch.autograd.grad(losses["own"], list(parameters.values()))
    assert min(float(each.abs().max()) for each in found) > 0
    own.model.add_route("own", {"own": 1.0})
    assert torch.equal(own.run("own")[0]["own"], alone["own"])


def test_tasks_that_share_an_adapter_with_a_head_share_both(bases: Callable[[str], Path]) -> None:
    case = KINDS["tags"]
    own = ours(bases("llama"), task_of("a", case), move=shake)
    own.model.add_route("b", {"a": 1.0})
    again = replace(own, splits={name: _renamed(own.splits["a"].encoder.task, own, name) for name in "ab"})
    logits, losses = again.run("a", "b")
    assert torch.equal(logits["a"], logits["b"])
    assert torch.equal(losses["a"], losses["b"])
    assert own.model.route_head("b") == own.model.route_head("a")
    parameter = next(iter(own.model.adapter_parameters("a").values()))
    (alone,) = torch.autograd.grad(again.run("a")[1]["a"], parameter)
    (both,) = torch.autograd.grad(torch.stack(list(again.run("a", "b")[1].values())).sum(), parameter)
    assert _near(both, 2 * alone)


def _renamed(task: Task, own: Ours, name: str) -> EncodedSplit:
    return encode_split(replace(task, name=name), task.eval, own.splits["a"].encoder.context, split="eval")


def test_a_route_without_any_head_is_refused_on_an_encoder(bases: Callable[[str], Path]) -> None:
    own = ours(bases("bert"), task_of("t", KINDS["tags"]))
    own.model.add_route("bare", {})
    batch = own.model.layout.lay_out([Chunk("bare", [replace(own.sequences("t")[0], route="bare")])])
    with pytest.raises(ConfigError, match="The base has no vocabulary head, and neither has 'bare'"):
        own.model.by_route(batch)
