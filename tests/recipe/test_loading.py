"""What a valid recipe becomes, and that a saved one is the same recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hf_mtl.recipe import load_recipe, read_resolved, save_recipe
from hf_mtl.recipe.document import parse_yaml

Write = Callable[..., Path]


def test_defaults_go_into_the_tasks(write: Write) -> None:
    tasks = load_recipe(write()).tasks
    assert tasks["past tense"].adapter == {"r": 2, "lora_alpha": 8, "target_modules": "all-linear"}
    assert tasks["words"].adapter == {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}
    assert {task.max_length for task in tasks.values()} == {64}


def test_paths_are_relative_to_the_recipe(write: Write) -> None:
    path = write()
    recipe = load_recipe(path)
    train = recipe.tasks["words"].train
    assert train is not None and train.source == str(path.parent.resolve() / "words.jsonl")
    assert recipe.output_dir == "runs/tiny"


def test_overrides(write: Write) -> None:
    settings = [
        "training.max_steps=7",
        "tasks.past tense.max_length=9",
        "training.seed=3",
        "defaults.adapter.r=6",
    ]
    recipe = load_recipe(
        write(), [*settings, "tasks.words.labels=[positive, negative]"], output_dir="elsewhere"
    )
    assert recipe.training == {"max_steps": 7, "learning_rate": 1e-3, "seed": 3}
    assert recipe.tasks["past tense"].max_length == 9
    assert recipe.tasks["words"].labels == ("positive", "negative")
    assert recipe.tasks["words"].adapter["r"] == 6
    assert recipe.output_dir == "elsewhere"


def test_override_of_a_task_with_dots_in_its_name(write: Write) -> None:
    recipe = load_recipe(write({"past tense:": "en.past.v2:"}), ["tasks.en.past.v2.max_length=9"])
    assert recipe.tasks["en.past.v2"].max_length == 9


def test_names_are_text(write: Write) -> None:
    recipe = load_recipe(write({"past tense:": "2024:", "words:": "no:"}))
    assert list(recipe.tasks) == ["no", "2024"]


def test_anchors(write: Write) -> None:
    path = write({"max_length: 64": "max_length: &most 64", "adapter: {r: 2}": "max_steps: *most"})
    assert load_recipe(path).tasks["past tense"].max_steps == 64


def test_save_load_save(write: Write, tmp_path: Path) -> None:
    recipe = load_recipe(write())
    first, second = tmp_path / "a" / "recipe.yaml", tmp_path / "b" / "recipe.yaml"
    for path in (first, second):
        path.parent.mkdir()
    save_recipe(recipe, first)
    assert load_recipe(first) == read_resolved(first) == recipe
    save_recipe(load_recipe(first), second)
    assert first.read_text().splitlines()[1:] == second.read_text().splitlines()[1:]


def test_a_finished_run_is_read_without_its_data(write: Write) -> None:
    path = write()
    (path.parent / "words.jsonl").unlink()
    assert list(read_resolved(path).tasks) == ["words", "past tense"]


def test_empty_section(write: Write) -> None:
    assert load_recipe(write({"training: {max_steps: 2, learning_rate: 1e-3}": "training:"})).training == {}


def test_yaml_without_surprises() -> None:
    assert parse_yaml("[yes, off, 2024-01-01, 1e-3, 1.5, .5, 12, true, null]") == [
        "yes", "off", "2024-01-01", 1e-3, 1.5, 0.5, 12, True, None,
    ]  # fmt: skip
