"""Tasks and suites: problems are found at declaration, all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, Image, Value
from kind_bases import picture
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, Task, TaskSuite, load_base
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.tasks import Context, EncodedSplit, encode_split
from hf_mtl.tasks.kinds import candidates_of

ROWS = Dataset.from_list([{"text": "good", "label": "positive"}, {"text": "bad", "label": "negative"}])
TEMPLATE = PromptCompletion("{text} is", " {label}")


def _task(**changes: Any) -> Task:
    return Task(**({"name": "t", "train": ROWS, "template": TEMPLATE} | changes))


def _encoded(task: Task, tokenizer: PreTrainedTokenizerBase) -> EncodedSplit:
    assert isinstance(task.train, Dataset)
    return encode_split(task, task.train, Context(task.declared, tokenizer), split="train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"metrics": ["exact_mach"]},
            "task 't': there is no metric 'exact_mach'; known are 'accuracy', 'chrf', 'exact_match', ",
        ),
        ({"metrics": ["exact_mach"]}, "Did you mean 'exact_match'?"),
        (
            {"metrics": ["accuracy"]},
            "the metric 'accuracy' compares labels, and the task has none: give labels=[...], for a language model the "
            "values of the completion's one field",
        ),
        ({"labels": ["one"]}, "labels must be two or more different texts, found ['one']"),
        (
            {"labels": ["a", "b"], "template": PromptCompletion("{text}", "{a}{b}")},
            "the completion has exactly one field; '{a}{b}' has 2",
        ),
        ({"learning_rate": -1.0}, "learning_rate: expected a number above 0, or None, found -1.0"),
        ({"warmup_steps": -1}, "warmup_steps: expected a number of at least 0, or None, found -1"),
        ({"name": " "}, "a task's name must be printable text that is not blank"),
        ({"train": None}, "neither train nor eval rows"),
    ],
)
def test_declarations_that_cannot_work(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _task(**changes)
    assert message in str(caught.value)


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        _task(metrics=["bleu", "accuracy"], batch_size=0, labels=None, weight_decay=-0.1)
    assert len(caught.value.problems) == 4 and str(caught.value).startswith("4 problems:\n  - task 't': ")


def test_names_must_differ_and_are_suggested() -> None:
    with pytest.raises(ConfigError, match="used more than once: 't'"):
        TaskSuite([_task(), _task()])
    with pytest.raises(ConfigError, match="at least one task"):
        TaskSuite([])
    with pytest.raises(
        KeyError, match="no task 'sentimant'; there are 'sentiment'. Did you mean 'sentiment'"
    ):
        TaskSuite([_task(name="sentiment")])["sentimant"]


def test_rows_are_checked_before_training(tiny_llama: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    lacks = Dataset.from_list([{"text": "good", "label": "x"}, {"text": "good", "label": None}])
    with pytest.raises(
        DataError, match="task 't', train, row 1: the template ' {label}' needs the field 'label'"
    ):
        _encoded(_task(train=lacks), tokenizer)
    empty = ROWS.select([])
    with pytest.raises(DataError, match="task 't', train: the data set is empty; at least one row is needed"):
        _encoded(_task(train=empty), tokenizer)
    long = Dataset.from_list([{"text": "good " * 90, "label": "x"}])
    with pytest.raises(DataError, match="task 't', train, row 0: the row has .* lie behind max_length=16"):
        _encoded(_task(train=long, max_length=16), tokenizer)
    cut = Dataset.from_list([{"text": "good", "label": "positive " * 20}, {"text": "good", "label": "x"}])
    assert _encoded(_task(train=cut, max_length=16), tokenizer).truncated == 1
    blank = Dataset.from_list([{"text": "good", "label": ""}])
    task = _task(train=blank, template=PromptCompletion("{text}", "{label}"))
    with pytest.raises(DataError, match="row 0: the completion '' becomes no token at all"):
        MultiTaskTrainer(tiny_llama, MultiTaskTrainingArguments(str(tmp_path), report_to="none"), [task])


def test_labels_of_the_same_tokens_are_refused(tiny_llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    task = _task(labels=["good", " good"], template=lambda row: {"prompt": "a", "completion": row["label"]})
    assert len(candidates_of(Context(task.declared, tokenizer))) == 2
    with pytest.raises(ConfigError, match="two of the labels .* become the same tokens"):
        empty = _task(labels=["", "good"], template=lambda row: row)
        candidates_of(Context(empty.declared, tokenizer))


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "runs/mine/model"])
def test_unknown_model_folder(source: str) -> None:
    with pytest.raises(
        ConfigError, match=f"There is no model folder '{source}'.*Give a folder with config.json"
    ):
        load_base(source)


def test_model_folders_that_hold_no_model(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "readme.txt").write_text("")
    with pytest.raises(ConfigError, match=r"holds no config\.json; it has 'readme\.txt'"):
        load_base(tmp_path / "weights")
    with pytest.raises(ConfigError, match="There is no model folder .*Folders in .*: 'weights'"):
        load_base(tmp_path / "weight")
    with pytest.raises(ConfigError, match="could not be loaded"):
        load_base("someone/never-uploaded")
    with pytest.raises(ConfigError, match="dtype 'float12' is unknown; choose one of 'auto', 'bfloat16'"):
        load_base("someone/never-uploaded", dtype="float12")


def test_a_column_that_nobody_here_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that the task has no use for: `datasets` reads whole rows. A transform is not run to try it."""
    features = Features({"prompt": Value("string"), "completion": Value("string"), "picture": Image()})
    row = {"prompt": "walk:", "completion": " walked", "picture": picture(0)}
    rows = Dataset.from_list([row], features=features)
    monkeypatch.setattr("datasets.config.PIL_AVAILABLE", False)
    for splits in ({"train": rows}, {"eval": rows}):
        with pytest.raises(ConfigError, match=r"the rows cannot be read: .*Pillow.*remove_columns"):
            Task("a", **splits)
    Task("a", train=rows.remove_columns("picture"))
    Task("a", train=rows.with_transform(lambda batch: 1 / 0))
