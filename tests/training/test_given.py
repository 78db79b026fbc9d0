"""What a checkpoint keeps of what a run was given, and what becomes of a difference at a resume."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, IterableDataset
from peft import LoraConfig, PrefixTuningConfig

from hf_mtl import PromptCompletion, RoutedModel, Task
from hf_mtl.errors import CheckpointError
from hf_mtl.models import load_base
from hf_mtl.training.resuming import check_run
from runs import rows, trainer_of

Json = Any  # plain JSON
Given = Callable[..., Json]
TEMPLATE = PromptCompletion("{text}:", " {label}")
OLD = ("base", "seed", "processes", "tasks")  # what checkpoints held before there was more
OLD_OF_TASK = ("settings", "rows", "count", "kind", "labels")


def stream() -> IterableDataset:
    return rows("stream", 6).to_iterable_dataset()


def suite(
    *, adapter: Any = None, template: PromptCompletion = TEMPLATE, private: bool = False
) -> dict[str, Task]:
    lora = adapter or LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=["q_proj"])
    more: dict[str, Any] = {"template": template, "adapter": lora}
    every = {
        "stored": Task("stored", train=rows("stored", 6), template=TEMPLATE, adapter=lora),
        "stream": Task("stream", train=stream(), max_steps=2, **more),
    }
    if private:
        prefix = PrefixTuningConfig(num_virtual_tokens=2)
        every["prefix"] = Task("prefix", train=rows("prefix", 4), template=TEMPLATE, adapter=prefix)
    return every


@pytest.fixture(scope="module")
def given(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Makes what a checkpoint of a run with some settings would hold."""

    def document(tasks: dict[str, Task] | None = None, *, dtype: str | None = None, **changes: Any) -> Json:
        model = None
        if dtype is not None:
            model = RoutedModel(load_base(tiny_llama, dtype=dtype)[0])
        trainer = trainer_of(
            tiny_llama, tmp_path_factory.mktemp("run"), tasks or suite(), model=model, **changes
        )
        return trainer._run_document()

    return document


@pytest.fixture(scope="module")
def private(given: Given) -> Json:
    return given(suite(private=True))


@pytest.fixture(scope="module")
def shared(given: Given) -> Json:
    return given(sharing="shared+private")


def outcome(saved: Json, now: Json, caplog: pytest.LogCaptureFixture, **options: Any) -> str:
    """What a resume says: the error, or what is logged."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        try:
            check_run(json.loads(json.dumps(saved)), now, where="checkpoint-1", **options)
        except CheckpointError as error:
            return f"refused: {error}"
    return caplog.text


def leaves(value: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Every value of a document that is not an object, and every empty object."""
    if isinstance(value, dict) and value:
        for key, own in value.items():
            yield from leaves(own, (*path, key))
    else:
        yield path, value


def changed(document: Json, path: tuple[str, ...], value: Json) -> Json:
    document = copy.deepcopy(document)
    *outer, last = path
    inner = document
    for key in outer:
        inner = inner[key]
    if isinstance(value, bool):
        inner[last] = not value
    elif isinstance(value, int | float):
        inner[last] = value + 1
    elif isinstance(value, list):
        inner[last] = [*value, "more"]
    else:
        inner[last] = {"more": 1} if isinstance(value, dict) else f"{value} more"
    return document


def test_the_same_run_is_the_same(
    given: Given, private: Json, shared: Json, caplog: pytest.LogCaptureFixture
) -> None:
    assert outcome(private, given(suite(private=True)), caplog) == ""
    assert outcome(shared, given(sharing="shared+private"), caplog) == ""


@pytest.mark.parametrize("which", ["private", "shared"])
def test_no_difference_is_accepted_without_a_word(
    which: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    document = request.getfixturevalue(which)
    silent = [
        ".".join(path)
        for path, value in leaves(document)
        if not outcome(changed(document, path, value), document, caplog)
    ]
    # The number of stored rows stands beside their hash, which covers how they were read too.
    expected = [f"tasks.{name}.count" for name in document["tasks"] if name != "stream"]
    expected += ["tasks.stream.count"] + (["shared"] if which == "private" else [])
    assert {*silent} - {*expected} == {
        path for path in silent if path.startswith("tasks.") and ".reads." in path
    }
    assert not [path for path in silent if path.startswith("tasks.stream.reads")]


@pytest.mark.parametrize("which", ["private", "shared"])
def test_an_older_checkpoint_is_still_read(
    which: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    now = request.getfixturevalue(which)
    old = {key: now[key] for key in OLD}
    old["tasks"] = {name: {key: own[key] for key in OLD_OF_TASK} for name, own in now["tasks"].items()}
    assert outcome(old, now, caplog) == ""
    assert "the data seed is" in outcome(old | {"seed": 1}, now, caplog)


LORA: dict[str, Any] = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "target_modules": ["q_proj"]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dtype": "bfloat16"}, "refused: .*the base's dtype is bfloat16, and was float32"),
        ({"sharing": "soft"}, "refused: .*sharing is 'soft', and was 'private'"),
        ({"seed": 7, "data_seed": 42}, "refused: .*seed is 7, and was 42"),
        (
            {"tasks": suite(adapter=LoraConfig(**LORA | {"lora_alpha": 16}))},
            "refused: .*'stored': lora_alpha is 16",
        ),
        (
            {"tasks": suite(adapter=LoraConfig(**LORA, alpha_pattern={"q_proj": 2}))},
            "refused: .*alpha_pattern is",
        ),
        ({"tasks": suite(adapter=LoraConfig(**LORA, use_rslora=True))}, "refused: .*use_rslora is True"),
        (
            {"tasks": suite(template=PromptCompletion("{text}", " {label}"))},
            "refused: .*'stream': template is",
        ),
        ({"tasks": suite(adapter=LoraConfig(**LORA | {"lora_dropout": 0.2}))}, "lora_dropout is 0.2 now"),
        ({"mixture": "proportional"}, "mixture is 'proportional' now, and was 'all'"),
        ({"bf16": True}, "mixed_precision is 'bf16' now, and was 'no'"),
        ({"full_determinism": True}, "full_determinism is True now"),
    ],
    ids=str,
)
def test_a_real_difference(
    given: Given, changes: dict[str, Any], expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    from re import DOTALL, search

    said = outcome(given(), given(**changes), caplog)
    assert search(expected, said, DOTALL), said
    assert said.startswith("refused") == expected.startswith("refused"), said


def test_how_layers_are_named_makes_no_difference(given: Given, caplog: pytest.LogCaptureFixture) -> None:
    """The parameters say which they are."""
    other = suite(
        adapter=LoraConfig(**LORA | {"target_modules": r".*\.q_proj"}, init_lora_weights="gaussian")
    )
    assert outcome(given(), given(other), caplog) == ""


@pytest.mark.parametrize("key", ["metric", "greater_is_better"])
def test_another_best_figure(shared: Json, key: str, caplog: pytest.LogCaptureFixture) -> None:
    """Refused once there is a best one; before, the run may be measured by another."""
    path = ("tasks", "stored", "settings", key)
    other = changed(shared, path, shared["tasks"]["stored"]["settings"][key])
    assert "refused" in outcome(other, shared, caplog, measured=["stored"])
    assert f"task 'stored': {key} is" in outcome(other, shared, caplog, measured=["stream"])


def test_stored_rows_in_the_place_of_a_stream(given: Given, caplog: pytest.LogCaptureFixture) -> None:
    stored = suite()
    stored["stream"] = Task(
        "stream",
        train=Dataset.from_list(list(stream())),
        max_steps=2,
        template=TEMPLATE,
        adapter=LoraConfig(**LORA),
    )
    assert "its training rows are stored, and were a stream" in outcome(given(), given(stored), caplog)
