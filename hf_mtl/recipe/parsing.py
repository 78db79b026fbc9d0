"""From a document to a `Recipe`: the schema's complaints in words, and the recipe without what they are about.

A wrong value is taken out and the rest is read again, so that one mistake does not hide the others.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hf_mtl import wrong_values
from hf_mtl.bounds import impossible
from hf_mtl.errors import did_you_mean, listing
from hf_mtl.recipe.document import ABSENT, Document, KeyPath, child, parse_yaml
from hf_mtl.recipe.schema import ModelSpec, Recipe, RowsSpec, TaskSpec, TemplateSpec
from hf_mtl.wrong_values import shown_value

__all__ = ["expected_and_found", "number_text", "parse", "unknown_key"]

_FEW = 20
"""So many valid keys are listed even beside a likely one."""

_OLD_NUMBER = re.compile(
    r"[-+]?(?:\d[\d_]*(?::[0-5]?\d)*(?:\.[\d_]*)?|0b[01_]+|0x[\da-fA-F_]+)(?:[eE][-+]?\d+)?"
)
"""Of YAML 1.1: with underscores, in base 60 or in base 2."""


def parse(document: Document) -> tuple[Recipe, list[str]]:
    """Read the document by the schema.

    Returns:
        The recipe, without the parts that are wrong, and what is wrong.
    """
    # A section whose lines are all commented out is an empty section.
    data = {key: copy.deepcopy(value) for key, value in document.data.items() if value is not None}
    problems: list[str] = []
    while True:
        try:
            recipe = Recipe.model_validate(data)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                path = _existing(data, detail["loc"])
                problems.append(document.problem(path, _text(detail, path)))
            for detail in error.errors(include_url=False):
                _remove(data, _existing(data, detail["loc"]))
            continue
        # The schema leaves the insides of free sections (options, training arguments) to those whom they concern.
        strange = list(_impossible_numbers(data, ()))
        if not strange:
            return recipe, problems
        for path, text in strange:
            problems.append(document.problem(path, text))
            _remove(data, path)


def _impossible_numbers(data: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Numbers that no setting takes, such as NaN, and where they stand."""
    if (text := impossible(data)) is not None:
        yield path, text
    for key, value in data.items() if isinstance(data, dict) else ():
        yield from _impossible_numbers(value, (*path, key))
    for index, value in enumerate(data) if isinstance(data, list) else ():
        yield from _impossible_numbers(value, (*path, index))


def _existing(data: object, path: KeyPath) -> KeyPath:
    """Return the part of a complaint's path that is in the data; pydantic puts names of its own between."""
    found: list[str | int] = []
    for key in path:
        inner = child(data, key)
        if inner is not ABSENT:
            data = inner
            found.append(key)
    return tuple(found)


def _remove(data: object, path: KeyPath) -> None:
    """Take the value at `path` out; a list with a wrong item goes as a whole, or its other items would move."""
    for key in path[:-1]:
        if not isinstance(data, dict):
            break
        if isinstance(data.get(key), list):
            del data[key]
            return
        data = data.get(key)
    if isinstance(data, dict):
        data.pop(path[-1], None)


def _text(detail: ErrorDetails, path: KeyPath) -> str:
    kind = detail["type"]
    if kind == "extra_forbidden":
        return unknown_key(str(path[-1]), _fields_around(path))
    found = shown_value(detail["input"])
    context = detail.get("ctx", {})
    if kind in ("literal_error", "int_parsing_size"):  # the second of whole numbers beyond 64 bits
        choices = _choices(path)
        return f"expected one of {listing(choices)}, found {found}.{did_you_mean(found, choices)}"
    if kind == "number":
        return number_text(context["expected"], detail["input"])
    return expected_and_found(detail)


def expected_and_found(detail: ErrorDetails) -> str:
    """Return a complaint about a value's type, and how YAML would be written right."""
    return wrong_values.expected_and_found(detail) + _quotes_hint(detail["type"], detail["input"])


def number_text(expected: str, value: object) -> str:
    """Return the message for a value that stands where a number does; what is not set is left out of a recipe."""
    return f"expected {expected.removesuffix(', or None')}, found {shown_value(value)}.{_number_hint(value)}"


def unknown_key(key: str, choices: Iterable[str]) -> str:
    """Return the message for a key that is not one of `choices`."""
    choices = list(choices)
    hint = did_you_mean(key, choices)
    return f"unknown key {key!r}.{hint}" + (
        "" if hint and len(choices) > _FEW else f" Valid keys: {listing(choices)}."
    )


def _quotes_hint(kind: str, value: object) -> str:
    if kind in ("int_type", "float_type"):
        return _number_hint(value)
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f" Write it in quotes: {str(value).lower()!r}."
    return ""


def _number_hint(value: object) -> str:
    """What to write in the place of a text that stands where a number does."""
    if not isinstance(value, str):
        return ""
    if isinstance(parse_yaml(value) if value.isprintable() else value, int | float):
        return " Write it without quotes."
    if _OLD_NUMBER.fullmatch(value):
        return " YAML 1.2, which recipes are, has no such numbers: write it in plain digits."
    return ""


def _fields_around(path: KeyPath) -> list[str]:
    """Return the valid keys beside the key at `path`."""
    return [name for name in _section(path).model_fields if name != "format"]


def _section(path: KeyPath) -> type[BaseModel]:
    if path[-2:-1] == ("template",):
        return TemplateSpec
    if path[-2:-1] in (("train",), ("eval",), ("test",)) and path[0] in ("tasks", "defaults"):
        return RowsSpec
    if path[0] == "model" and len(path) > 1:
        return ModelSpec
    if (path[0] == "tasks" and len(path) > 2) or (path[0] == "defaults" and len(path) > 1):
        return TaskSpec
    return Recipe


def _choices(path: KeyPath) -> list[str]:
    annotation = _section(path).model_fields[str(path[-1])].annotation
    return [str(choice) for choice in get_args(annotation)]
