"""From a document to a `Recipe`: the schema's complaints in words, and the recipe without what they are about.

A wrong value is taken out and the rest is read again, so that one mistake does not hide the others.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hf_mtl.errors import did_you_mean, listing
from hf_mtl.recipe.document import ABSENT, Document, KeyPath, child
from hf_mtl.recipe.schema import ModelSpec, Recipe, RowsSpec, TaskSpec, TemplateSpec

__all__ = ["expected_and_found", "parse", "unknown_key"]

_FEW = 20
"""So many valid keys are listed even beside a likely one."""

_EXPECTED: Mapping[str, str] = {
    "bool_type": "true or false",
    "dict_type": "`key: value` lines",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "`key: value` lines",
    "string_type": "text",
    "tuple_type": "a list",
}


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
            return Recipe.model_validate(data), problems
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                path = _existing(data, detail["loc"])
                problems.append(document.problem(path, _text(detail, path)))
            for detail in error.errors(include_url=False):
                _remove(data, _existing(data, detail["loc"]))


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
    found = _shown(detail["input"])
    context = detail.get("ctx", {})
    if kind == "literal_error":
        choices = _choices(path)
        return (
            f"expected one of {listing(choices)}, found {found}.{did_you_mean(str(detail['input']), choices)}"
        )
    if kind == "greater_than":
        return f"expected a number above {context['gt']:g}, found {found}."
    if kind == "greater_than_equal":
        return f"expected a number of at least {context['ge']:g}, found {found}."
    return expected_and_found(detail)


def expected_and_found(detail: ErrorDetails) -> str:
    """Return a complaint about a value's type in plain words."""
    kind, value = detail["type"], detail["input"]
    if kind == "literal_error":
        return f"expected {detail['ctx']['expected']}, found {_shown(value)}."
    if kind not in _EXPECTED:
        return f"{detail['msg']}, found {_shown(value)}."
    return f"expected {_EXPECTED[kind]}, found {_shown(value)}.{_quotes_hint(kind, value)}"


def unknown_key(key: str, choices: Iterable[str]) -> str:
    """Return the message for a key that is not one of `choices`."""
    choices = list(choices)
    hint = did_you_mean(key, choices)
    return f"unknown key {key!r}.{hint}" + (
        "" if hint and len(choices) > _FEW else f" Valid keys: {listing(choices)}."
    )


def _quotes_hint(kind: str, value: object) -> str:
    if isinstance(value, str) and kind in ("int_type", "float_type") and _is_number(value):
        return " Write it without quotes."
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f" Write it in quotes: {str(value).lower()!r}."
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


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
