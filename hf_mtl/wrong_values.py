"""What pydantic finds wrong with a value, in the words of this library.

>>> from pydantic import TypeAdapter, ValidationError
>>> try:
...     TypeAdapter(dict[str, list[int]]).validate_python({"steps": [1, "two"]}, strict=True)
... except ValidationError as error:
...     print(*problems_of(error))
steps[1]: expected a whole number, found 'two'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hf_mtl.bounds import shown

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["dotted", "expected_and_found", "problems_of", "shown_value"]

_MOST = 10  # problems of one file that are listed

_EXPECTED: Mapping[str, str] = {
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "`key: value` lines",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "mapping_type": "`key: value` lines",
    "model_type": "`key: value` lines",
    "dataclass_type": "`key: value` lines",
    "string_type": "text",
    "tuple_type": "a list",
}


def expected_and_found(detail: ErrorDetails) -> str:
    """Return a complaint about a value's type in plain words."""
    kind, value = detail["type"], detail["input"]
    if kind in ("missing", "missing_argument"):
        return "it is missing."
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return "there is no such key."
    if kind == "literal_error":
        return f"expected {detail['ctx']['expected']}, found {shown_value(value)}."
    if kind not in _EXPECTED:
        return f"{detail['msg']}, found {shown_value(value)}."
    return f"expected {_EXPECTED[kind]}, found {shown_value(value)}."


def problems_of(error: ValidationError) -> list[str]:
    """Return what is wrong, each problem with its key; of very many the first, and how many more there are."""
    problems = [
        f"{dotted(detail['loc'])}: {expected_and_found(detail)}"
        if detail["loc"]
        else expected_and_found(detail)
        for detail in error.errors(include_url=False)
    ]
    more = len(problems) - _MOST
    return problems[:_MOST] + ([f"and {more} more."] if more > 0 else [])


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as messages write it.

    >>> dotted(("tasks", "sentiment", "labels", 0))
    'tasks.sentiment.labels[0]'
    """
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}"
    return text.removeprefix(".")


def shown_value(value: object) -> str:
    """Return a value as a file spells it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return shown(value)
