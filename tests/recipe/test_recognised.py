"""Recipes that leave open how rows are read: what is filled in, said, and saved."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from hf_mtl.errors import ConfigError
from hf_mtl.recipe import load_recipe, save_recipe
from hf_mtl.recipe.found_files import found_tasks
from hf_mtl.recipe.yaml_text import flow

RECIPE = """\
model: {id: someone/tiny-llama}
output_dir: runs/tiny
tasks:
  words:
    train: words.jsonl
%s"""


def _write(folder: Path, more: str = "", rows: list[dict[str, object]] | None = None) -> Path:
    if rows is not None:
        (folder / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE % more, encoding="utf-8")
    return folder / "recipe.yaml"


def test_a_task_with_only_its_rows(two_tasks: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _write(two_tasks)
    with caplog.at_level(logging.INFO, "hf_mtl"):
        recipe = load_recipe(path)
    assert [record.getMessage() for record in caplog.records] == [
        "words: text-classification from text + label, 2 labels: negative, positive"
    ]
    task = recipe.tasks["words"]
    assert (task.kind, task.columns) == ("text-classification", {"text": "text", "label": "label"})
    assert task.labels == ("negative", "positive")
    # What is saved beside the run says it, so that it is read the same way whatever becomes of the rows.
    save_recipe(recipe, two_tasks / "saved.yaml")
    caplog.clear()
    with caplog.at_level(logging.INFO, "hf_mtl"):
        assert load_recipe(two_tasks / "saved.yaml").tasks["words"] == task
    assert not caplog.records


def test_labels_are_those_of_all_rows_to_learn_from(two_tasks: Path) -> None:
    """A few rows would not have them all."""
    recipe = load_recipe(_write(two_tasks, "    max_train_rows: 2\n    eval: words.jsonl\n"))
    assert recipe.tasks["words"].labels == ("negative", "positive")


def test_labels_of_a_declared_kind(two_tasks: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hf_mtl"):
        recipe = load_recipe(_write(two_tasks, "    kind: text-classification\n"))
    assert recipe.tasks["words"].labels == ("negative", "positive")
    assert [record.getMessage() for record in caplog.records] == [
        "words: 2 labels in label: negative, positive"
    ]


@pytest.mark.parametrize(
    ("more", "row", "message"),
    [
        (
            "",
            {"a": "x", "b": "y"},
            "recipe.yaml:4 tasks.words: the format of the rows is not recognised: their col",
        ),
        (
            "",
            {"review": "x", "rating": 1},
            "recipe.yaml:4 tasks.words: the rows can be read in 2 ways: text-classif",
        ),
        (
            "    kind: causal-lm\n",
            {"a": "x", "b": "y"},
            "recipe.yaml:4 tasks.words: template is missing: {prompt",
        ),
        ("    columns: {txt: a}\n", {"a": "x", "label": "y"}, "the format of the rows is not recognised"),
    ],
)
def test_rows_that_are_refused(two_tasks: Path, more: str, row: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(_write(two_tasks, more, [row]))
    assert any(message in problem for problem in caught.value.problems), caught.value.problems


def test_files_are_sorted_into_tasks_and_splits(tmp_path: Path) -> None:
    names = [
        "news.train.csv", "news-valid.csv", "test_news.csv", "qa/train-00000-of-00001.parquet",
        "qa/validation-00000-of-00001.parquet", "reviews.jsonl", "reviews.test.jsonl", "qa/README.txt",
    ]  # fmt: skip
    (tmp_path / "qa").mkdir()
    for name in names:
        (tmp_path / name).touch()
    paths = [tmp_path / name for name in names if "/" not in name]
    found = {
        task.name: {split: source.path.name for split, source in task.splits.items()}
        for task in found_tasks([*paths, tmp_path / "qa"])
    }
    assert found == {
        "news": {"train": "news.train.csv", "eval": "news-valid.csv", "test": "test_news.csv"},
        "reviews": {"train": "reviews.jsonl", "test": "reviews.test.jsonl"},
        "qa": {"train": "train-00000-of-00001.parquet", "eval": "validation-00000-of-00001.parquet"},
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain words", "plain words"),
        ("no", "no"),  # a word in a recipe, whatever YAML 1.1 says
        ("1e5", '"1e5"'),
        ("true", '"true"'),
        ("a: b", '"a: b"'),
        ("B-PER", "B-PER"),
        ("", '""'),
        ({"prompt": "a\n{b}"}, '{prompt: "a\\n{b}"}'),
        (["x", 1, None], "[x, 1, null]"),
    ],
)
def test_yaml_is_read_back_as_it_was(value: object, text: str) -> None:
    from hf_mtl.recipe.document import parse_yaml

    assert flow(value) == text
    assert parse_yaml(text) == value
