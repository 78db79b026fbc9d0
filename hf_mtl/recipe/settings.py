"""Checks mappings of a recipe against the fields of a dataclass of another library: training arguments, peft configs.

The schema cannot list their fields (they change with the library's version), so they are read from the class.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from hf_mtl.bounds import NOT_NEGATIVE, Bounds
from hf_mtl.errors import did_you_mean, listing
from hf_mtl.recipe.parsing import expected_and_found, number_text, unknown_key

__all__ = ["field_problems"]

Report = Callable[[str, str], None]
"""Takes a field's name and what is wrong with it."""


def field_problems(
    cls: type,
    values: Mapping[str, object],
    elsewhere: Collection[str],
    report: Report,
    bounds: Mapping[str, Bounds],
) -> None:
    """Report the keys of `values` that `cls` has no field for, and the values of a wrong type or range.

    Args:
        cls: A dataclass.
        values: What the recipe gives for its fields.
        elsewhere: Fields that are not to be given here.
        report: Called for every problem.
        bounds: Of the fields that are numbers.
    """
    hints = typing.get_type_hints(cls)
    fields = {
        field.name: field for field in dataclasses.fields(cls) if field.init and field.name not in elsewhere
    }
    for name, value in values.items():
        if name not in fields:
            report(name, unknown_key(name, fields))
        elif problem := _type_problem(hints[name], value, bounds.get(name)) or _unknown_range(
            fields[name], value
        ):
            report(name, problem)


def _type_problem(hint: object, value: object, bounds: Bounds | None) -> str | None:
    if bounds is not None and (expected := bounds.missed(value)) is not None:
        return number_text(expected, value)
    choices = _enum_values(hint)
    if choices and isinstance(value, str):
        if value in choices:
            return None
        return f"expected one of {listing(choices)}, found {value!r}.{did_you_mean(value, choices)}"
    adapter = _type_adapter(hint)
    try:
        # YAML has types of its own: only its lists and mappings are read with leniency (as tuples, dataclasses, ...).
        adapter.validate_python(value, strict=not isinstance(value, list | dict))
    except ValidationError as error:
        details = error.errors(include_url=False)
        return " Or: ".join(dict.fromkeys(expected_and_found(detail) for detail in details))
    return None


def _type_adapter(hint: Any) -> TypeAdapter[object]:  # Any: whatever stands behind a field's colon
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a class that brings its own configuration
        return TypeAdapter(hint)


def _enum_values(hint: object) -> list[str]:
    kinds = [
        kind
        for kind in (hint, *typing.get_args(hint))
        if isinstance(kind, type) and issubclass(kind, enum.Enum)
    ]
    return [str(member.value) for kind in kinds for member in kind]


def _unknown_range(field: dataclasses.Field[object], value: object) -> str | None:
    """What is wrong with a number of whose field nothing is known, as in a newer version of the other library."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value == field.default:
        return None  # a negative default stands for "not given"
    expected = NOT_NEGATIVE.missed(value)
    return None if expected is None else number_text(expected, value)
