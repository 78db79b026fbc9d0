"""Tasks and trainers as people write them: each form is taken and trains the same, or is refused with the way out."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, DatasetDict, IterableDataset
from peft import LoraConfig
from transformers import TrainingArguments

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task, TaskSuite
from hf_mtl.errors import ConfigError
from hf_mtl.familiar import FAMILIAR
from hf_mtl.training.sources import StoredRows
from runs import ARGUMENTS

VERBS = [{"prompt": f"{verb} ->", "completion": f" {verb}ed"} for verb in ("walk", "play", "bake")]
WORDS = [{"prompt": f"{word}?", "completion": " yes"} for word in ("good", "fine", "great", "bad")]
TABLES = {"verbs": Dataset.from_list(VERBS), "words": Dataset.from_list(WORDS)}
LORA: dict[str, Any] = {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"}


def _made(model: Path, out: Path, *args: Any, **keywords: Any) -> MultiTaskTrainer:
    settings = TrainingArguments(str(out), **(ARGUMENTS | {"max_steps": 1}))
    return MultiTaskTrainer(model, settings, *args, **keywords)


def _files(folder: Path) -> dict[str, str]:
    for name, rows in TABLES.items():
        rows.to_json(folder / f"{name}.jsonl")
    return {name: str(folder / f"{name}.jsonl") for name in TABLES}


@pytest.mark.slow  # it trains the same tasks once for each form
def test_every_form_of_two_tasks_trains_to_the_same_weights(tiny_llama: Path, tmp_path: Path) -> None:
    files = _files(tmp_path)
    lora = LoraConfig(**LORA)
    suite = [Task(name, train=rows, adapter=LoraConfig(**LORA)) for name, rows in TABLES.items()]
    forms: dict[str, dict[str, Any]] = {
        "tasks": {"tasks": suite},
        "a dict of data sets": {"train_dataset": TABLES, "peft_config": lora},
        "a DatasetDict": {"train_dataset": DatasetDict(TABLES), "peft_config": lora},
        "lists of dicts": {"train_dataset": {"verbs": VERBS, "words": WORDS}, "peft_config": lora},
        "files": {"train_dataset": files, "peft_config": {"verbs": lora, "words": lora}},
        "tasks by name": {"tasks": {task.name: task for task in suite}},
        "tasks without names": {
            "tasks": {name: Task(train=file) for name, file in files.items()}, "peft_config": lora,
        },
        "keywords of tasks": {
            "tasks": {name: {"train": file, "adapter": lora} for name, file in files.items()},
        },
        "rows as tasks": {"tasks": TABLES, "peft_config": lora},
        "splits as tasks": {
            "tasks": {name: DatasetDict({"train": rows, "test": rows}) for name, rows in TABLES.items()},
            "peft_config": lora,
        },
    }  # fmt: skip
    ends = {}
    for form, keywords in forms.items():
        trainer = _made(tiny_llama, tmp_path / "out", **keywords)
        trainer.train()
        ends[form] = {
            (name, key): own.detach().clone()
            for name in TABLES
            for key, own in trainer.owners.parameters[name].items()
        }
    for form, end in ends.items():
        assert end.keys() == ends["tasks"].keys(), form
        assert all(torch.equal(own, ends["tasks"][key]) for key, own in end.items()), form


def test_a_dict_of_eval_rows_is_measured_by_task(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = _made(tiny_llama, tmp_path, train_dataset=TABLES, eval_dataset={"words": WORDS})
    assert trainer.suite["verbs"].eval is None
    assert {key.split("/")[0] for key in trainer.evaluate() if "/" in key} == {"eval_words"}


def test_kinds_with_columns_are_taken_as_keywords(tiny_llama: Path, tmp_path: Path) -> None:
    rows = {"text": ["good", "bad"], "label": [1, 0]}
    trainer = _made(
        tiny_llama,
        tmp_path,
        {"tone": {"train": rows, "kind": "text-classification", "labels": ["bad", "good"]}},
    )
    assert trainer.suite["tone"].own_kind.name == "text-classification"


def test_the_adapters_of_peft_config(tiny_llama: Path, tmp_path: Path) -> None:
    declared = {"verbs": Task(train=VERBS, adapter=LoraConfig(**(LORA | {"r": 4}))), "words": WORDS}
    trainer = _made(tiny_llama, tmp_path, declared, peft_config=LoraConfig(**LORA))
    ranks = {
        name: task.adapter.r for name, task in trainer.suite.items() if isinstance(task.adapter, LoraConfig)
    }
    assert ranks == {"verbs": 4, "words": 2}
    trainer = _made(tiny_llama, tmp_path, train_dataset=TABLES, peft_config={"words": LoraConfig(**LORA)})
    ranks = {
        name: task.adapter.r for name, task in trainer.suite.items() if isinstance(task.adapter, LoraConfig)
    }
    assert ranks == {"verbs": 8, "words": 2}


def test_max_length_of_the_arguments_is_that_of_tasks_without(tiny_llama: Path, tmp_path: Path) -> None:
    args = MultiTaskTrainingArguments(str(tmp_path), **ARGUMENTS, max_length=8)
    suite = {"verbs": Task(train=VERBS, max_length=20), "words": WORDS}
    trainer = MultiTaskTrainer(tiny_llama, args, suite)
    assert [trainer.suite[name].declared.max_length for name in suite] == [20, 8]
    longest = {
        name: max(map(len, own.split.rows["input_ids"]))
        for name, own in trainer.sources.items()
        if isinstance(own, StoredRows)
    }
    assert longest["verbs"] > 8 >= longest["words"]


@pytest.mark.parametrize("value", [1024, 9])
def test_the_arguments_of_another_trainer_are_taken_or_answered(
    tiny_llama: Path, tmp_path: Path, value: int
) -> None:
    """Made as trl makes its own: a dataclass over `TrainingArguments`, with fields of its own."""
    made: Any = dataclasses.make_dataclass(
        "SFTConfig",
        [
            ("max_length", int | None, dataclasses.field(default=1024)),
            ("packing", bool, dataclasses.field(default=False)),
            ("dataset_text_field", str, dataclasses.field(default="text")),
            ("assistant_only_loss", bool, dataclasses.field(default=False)),
            ("brand_new", int, dataclasses.field(default=0)),
        ],
        bases=(TrainingArguments,),
        namespace={"__module__": "trl.trainer.sft_config"},
    )
    made.__module__ = "trl.trainer.sft_config"
    args = made(str(tmp_path), **ARGUMENTS, max_length=value, assistant_only_loss=True)
    trainer = MultiTaskTrainer(tiny_llama, args, train_dataset=TABLES)
    assert {task.declared.max_length for task in trainer.suite.values()} == {value}
    args = made(str(tmp_path), **ARGUMENTS, packing=True, dataset_text_field="body", brand_new=3)
    with pytest.raises(ConfigError) as caught:
        MultiTaskTrainer(tiny_llama, args, train_dataset=TABLES)
    assert len(caught.value.problems) == 3
    assert "token_budget" in str(caught.value) and "PromptCompletion('', '{text}')" in str(caught.value)
    assert "does not know it" in str(caught.value)


WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "names that another trainer has": (
        {"train_dataset": TABLES, "formatting_func": str, "max_seq_length": 9, "tokenizer": object()},
        ["no keyword 'formatting_func': say what", "'max_seq_length': write max_length", "processing_class="],
    ),
    "settings of the arguments and of a task": (
        {"train_dataset": TABLES, "learning_rate": 1e-3, "template": str, "learning_rat": 1},
        ["args=MultiTaskTrainingArguments", r"write it in Task(..., template=...)", "mean 'learning_rate'? Then it"],
    ),
    "a name that nobody knows, and everything else that is wrong": (
        {"tasks": {"verbs": VERBS}, "args": "out", "calbacks": [], "model_init": str, "peft_config": {"verb": 3}},
        ["Did you mean 'callbacks'?", "no such task; there are 'verbs'. Did you mean 'verbs'?",
         "peft_config holds 'int'", "model_init cannot be given", "args is of type str"],
    ),
    "splits as tasks": (
        {"train_dataset": DatasetDict({"train": TABLES["verbs"], "test": TABLES["words"]})},
        ["train_dataset has the keys 'test', 'train', which are splits"],
    ),
    "eval rows of no task, and broken rows": (
        {"train_dataset": {"verbs": VERBS, "words": [3]}, "eval_dataset": {"verb": VERBS}},
        ["no key of train_dataset: 'verbs', 'words'. Did you mean 'verbs'?", "task 'words': train: row 0 is"],
    ),
    "eval rows without a name": (
        {"train_dataset": TABLES, "eval_dataset": TABLES["verbs"]},
        ["pass a dict by the same names: eval_dataset={'verbs': rows}"],
    ),
    "tasks as rows": ({"train_dataset": {"a": Task(train=VERBS)}}, ["pass tasks={'a': Task(...)}"]),
    "a task with two names": (
        {"tasks": {"a": Task("b", train=VERBS), "c": {"name": "d", "train": VERBS}}},
        ["a task that calls itself 'b'", "has the key 'name' too"],
    ),
    "a task without a name": ({"tasks": [Task(train=VERBS)]}, ["A task has no name"]),
    "keywords of a task that it does not have": (
        {"tasks": {"a": {"train": VERBS, "formatting_func": str, "bach_size": 3}}},
        ["no keyword 'formatting_func'", "Did you mean 'batch_size'"],
    ),
    "adapters twice": (
        {"tasks": {"a": Task(train=VERBS, adapter=LoraConfig(**LORA))}, "peft_config": LoraConfig(**LORA)},
        ["both give an adapter to 'a'"],
    ),
    "adapters without tasks": (
        {"train_dataset": TABLES["verbs"], "peft_config": LoraConfig(**LORA)},
        ["peft_config is for tasks", "needs tasks=[Task(...), ...] or train_dataset={'name': rows}"],
    ),
    "rows that are no rows": (
        {"tasks": {"a": torch.zeros(2), "b": DatasetDict({"x": TABLES["verbs"]})}},
        ["task 'a': train: expected a datasets.Dataset", "task 'b': the splits are 'x'"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_all_at_once(tiny_llama: Path, tmp_path: Path, case: str) -> None:
    keywords, messages = WRONG[case]
    keywords = {"args": TrainingArguments(str(tmp_path), **ARGUMENTS)} | keywords
    with pytest.raises(ConfigError) as caught:
        MultiTaskTrainer(tiny_llama, **keywords)
    assert len(caught.value.problems) == len(messages), caught.value
    for message in messages:
        assert message in str(caught.value)


@pytest.mark.parametrize("name", FAMILIAR)
def test_every_familiar_keyword_is_a_parameter_or_answered(tmp_path: Path, name: str) -> None:
    """By the classes that people pass it to; a value that says nothing is taken."""
    calls: list[tuple[Any, Any]] = [
        (Task, lambda **own: Task("a", train=VERBS, **own)),
        (
            MultiTaskTrainingArguments,
            lambda **own: MultiTaskTrainingArguments(str(tmp_path), **ARGUMENTS, **own),
        ),
        (MultiTaskTrainer, lambda **own: MultiTaskTrainer(torch.nn.Linear(1, 1), **own)),
    ]
    for cls, call in calls:
        if name in inspect.signature(cls.__init__).parameters:
            continue
        if cls is not MultiTaskTrainer:
            for value in (None, *FAMILIAR[name].same):
                call(**{name: value})
        with pytest.raises(ConfigError, match="has no keyword") as caught:
            call(**{name: object()})
        assert f"{name!r}: {FAMILIAR[name].instead}." in str(caught.value)


def test_a_task_says_everything_at_once_and_takes_its_name_alone_by_position() -> None:
    with pytest.raises(ConfigError) as caught:
        Task("a", train="no.jsonl", eval=3, batch_size=0, packing=True)  # type: ignore[call-arg]
    assert len(caught.value.problems) == 4
    with pytest.raises(ConfigError, match="By position go name; write all others as name=value"):
        Task("a", VERBS)  # type: ignore[call-arg]
    stream = TABLES["verbs"].to_iterable_dataset()
    with pytest.raises(ConfigError, match="eval: rows to measure on are not streamed"):
        Task("a", eval=stream)
    assert isinstance(Task("a", train=stream, max_steps=1).train, IterableDataset)
    with pytest.raises(ConfigError, match="too many positional arguments"):
        MultiTaskTrainer(*range(20))


def test_a_task_keeps_what_it_was_when_it_is_changed() -> None:
    task = Task("a", train=VERBS, template=PromptCompletion("{prompt}", "{completion}"))
    again = dataclasses.replace(task, max_length=5)
    assert again.train is task.train and again.declared.max_length == 5
    assert TaskSuite([task.named("b")])["b"].train is task.train and task.name == "a"
