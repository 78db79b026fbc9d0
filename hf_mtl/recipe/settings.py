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

from hf_mtl.errors import did_you_mean, listing
from hf_mtl.recipe.parsing import expected_and_found, unknown_key

__all__ = ["field_problems"]

_ABOVE_ZERO = frozenset(
    {
        "gradient_accumulation_steps",
        "num_virtual_tokens",
        "per_device_eval_batch_size",
        "per_device_train_batch_size",
        "r",
        "token_budget",
    }
)

Report = Callable[[str, str], None]
"""Takes a field's name and what is wrong with it."""


def field_problems(
    cls: type, values: Mapping[str, object], elsewhere: Collection[str], report: Report
) -> None:
    """Report the keys of `values` that `cls` has no field for, and the values of a wrong type or range.

    Args:
        cls: A dataclass.
        values: What the recipe gives for its fields.
        elsewhere: Fields that are not to be given here.
        report: Called for every problem.
    """
    hints = typing.get_type_hints(cls)
    fields = {
        field.name: field for field in dataclasses.fields(cls) if field.init and field.name not in elsewhere
    }
    for name, value in values.items():
        if name not in fields:
            report(name, unknown_key(name, fields))
        elif problem := _type_problem(hints[name], value) or _range_problem(fields[name], value):
            report(name, problem)


def _type_problem(hint: object, value: object) -> str | None:
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


def _range_problem(field: dataclasses.Field[object], value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if field.name in _ABOVE_ZERO and value <= 0:
        return f"expected a number above 0, found {value!r}."
    # A negative default stands for "not given", as in max_steps=-1.
    if value < 0 and value != field.default:
        return f"expected a number of at least 0, found {value!r}."
    return None
