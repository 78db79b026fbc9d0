"""Every number of a recipe is checked where it enters: all fields of the schema, found by themselves, and the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import yaml
from numbers_walk import WRONG, takes_number
from outside_texts import CONTROLS, JOINED, raw_in
from pydantic import BaseModel

from hf_mtl.errors import ConfigError
from hf_mtl.recipe.document import KeyPath, parse_yaml, read_document
from hf_mtl.recipe.loading import save_recipe
from hf_mtl.recipe.overrides import override
from hf_mtl.recipe.parsing import parse
from hf_mtl.recipe.schema import Recipe, RowsSpec, TaskSpec
from hf_mtl.wrong_values import dotted


def number_fields(model: type[BaseModel], path: KeyPath = ()) -> Iterator[KeyPath]:
    """The paths of all fields that take a number, through the sections of a model."""
    for name, field in model.model_fields.items():
        yield from _in_hint(field.annotation, (*path, name))


def _in_hint(hint: Any, path: KeyPath) -> Iterator[KeyPath]:  # Any: whatever an annotation may be
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield from number_fields(hint, path)
    elif takes_number(hint):
        yield path
    else:
        named = (*path, "task") if get_origin(hint) is dict else path
        parts = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
        for part in parts:
            yield from _in_hint(part, named)


FIELDS = list(dict.fromkeys(number_fields(Recipe)))


def test_the_walk_finds_the_fields() -> None:
    assert {
        ("format",),
        ("defaults", "learning_rate"),
        ("tasks", "task", "train", "few_shot"),
        ("tasks", "task", "labels"),
        ("tasks", "task", "eval_fraction"),
    } <= set(FIELDS)
    assert len(FIELDS) > 40


FREE: list[KeyPath] = [
    ("training", "anything"),
    ("training", "mixture", "temperature"),
    ("sharing", "strength"),
    ("objective", "weights", "task"),
    ("variants", "mine", "training.learning_rate"),
    ("tasks", "task", "adapter", "alpha_pattern", "q_proj"),
    ("tasks", "task", "kind", "label_smoothing"),
    ("tasks", "task", "metrics", 0, "beta"),
    ("tasks", "task", "template", "chat_template_kwargs", "depth"),
]
"""Places inside sections whose keys the schema does not list; there, a text or a -1 may be right."""


def document_of(path: KeyPath, text: str) -> str:
    """YAML with one value, as it is, at a path."""
    lines = []
    for depth, key in enumerate(path):
        dash = "- " if isinstance(path[depth - 1], int) and depth else ""
        if not isinstance(key, int):
            lines.append(f"{'  ' * (depth - bool(dash))}{dash}{key}:")
    return "\n".join(lines) + f" {text}\n"


def problems_with(folder: Path, path: KeyPath, text: str) -> list[str]:
    """What the schema says of a recipe with one value at a path."""
    file = folder / "recipe.yaml"
    file.write_text(document_of(path, text), encoding="utf-8")
    return parse(read_document(file))[1]


@pytest.mark.parametrize("path", FIELDS, ids=dotted)
def test_a_field_takes_none_of_them(path: KeyPath, tmp_path: Path) -> None:
    for text in WRONG:
        problems = problems_with(tmp_path, path, text)
        assert len(problems) == 1 and f" {dotted(path)}: expected " in problems[0], (text, problems)
        assert "found " in problems[0]


@pytest.mark.parametrize("path", FREE, ids=dotted)
def test_a_free_section_takes_no_impossible_number(path: KeyPath, tmp_path: Path) -> None:
    for text in (".nan", ".inf", "-.inf", "1e400", "1" * 30, "9" * 5000):
        problems = problems_with(tmp_path, path, text)
        assert len(problems) == 1 and f" {dotted(path)}: expected a finite number" in problems[0], (
            text,
            problems,
        )
    assert problems_with(tmp_path, path, "-1") == []


def test_the_command_line_takes_none_of_them(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("tasks: {task: {max_length: 8}}\n", encoding="utf-8")
    for text in (*WRONG, "9" * 5000):
        _, problems = parse(override(read_document(file), f"tasks.task.max_length={text}"))
        assert len(problems) == 1 and problems[0].startswith("--set tasks.task.max_length: expected"), text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # https://yaml.org/spec/1.2.2/#103-core-schema
        ("1:30", "1:30"),
        ("190:20:30.15", "190:20:30.15"),
        ("010", 10),
        ("08", 8),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("0.1_0", "0.1_0"),
        ("+1", 1),
        ("1e3", 1000.0),
        ("-1.", -1.0),
        (".5", 0.5),
        ("~", None),
        ("", None),
        ("NULL", None),
        ("=", "="),
        ("<<", "<<"),
        ("yes", "yes"),
        ("on", "on"),
        ("2001-12-14", "2001-12-14"),
        ("{a: &x {b: 1}, c: {<<: *x, d: <<}}", {"a": {"b": 1}, "c": {"b": 1, "d": "<<"}}),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = parse_yaml(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("tag", ["!!int abc", "!!float abc", "!!bool maybe", "!!int 1:30", "!!binary AAAA"])
def test_a_tag_that_does_not_fit_is_a_syntax_error(tag: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(f"output_dir: here\nformat: {tag}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"recipe\.yaml:2:9: not valid YAML"):
        read_document(file)
    with pytest.raises(yaml.YAMLError):
        parse_yaml(tag)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("'64'", " Write it without quotes."),
        ("1_000", " write it in plain digits."),
        ("1:30", " write it in plain digits."),
        ("0b11", " write it in plain digits."),
        ("many", "found 'many'."),
    ],
)
def test_the_way_to_write_it(text: str, hint: str, tmp_path: Path) -> None:
    assert problems_with(tmp_path, ("defaults", "max_length"), text)[0].endswith(hint)


def test_text_that_looks_like_a_number_is_saved_as_text(tmp_path: Path) -> None:
    labels = ["1e3", "1:30", "0o17", "010", "1_000", "yes", "~", "=", ".5", "1e400", "2001-12-14", "plain"]
    task = TaskSpec(labels=tuple(labels), train=RowsSpec(source="a.jsonl"))
    save_recipe(Recipe(output_dir="1e3", tasks={"1e3": task}), tmp_path / "recipe.yaml")
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    ours, theirs = parse_yaml(text), yaml.safe_load(text)
    assert ours == theirs and theirs["tasks"]["1e3"]["labels"] == labels


def test_invisible_characters_are_saved_as_their_numbers(tmp_path: Path) -> None:
    labels = [
        *(f"a{char}: 'b" for char in CONTROLS if char != "\ud800"),
        JOINED,
        "two\nlines\t\x9b",
        "x" * 200 + "\u202e",
    ]
    task = TaskSpec(labels=tuple(labels), train=RowsSpec(source="a.jsonl"))
    save_recipe(Recipe(output_dir="run", tasks={"a": task}), tmp_path / "recipe.yaml")
    text = (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert not raw_in(text) and JOINED in text
    assert read_document(tmp_path / "recipe.yaml").value(("tasks", "a", "labels")) == labels
    assert yaml.safe_load(text)["tasks"]["a"]["labels"] == labels
