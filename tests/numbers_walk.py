"""Numbers that no setting takes, and the settings of a class, for tests that walk all of them."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

WRONG: Mapping[str, object] = {
    ".nan": math.nan,
    ".inf": math.inf,
    "-.inf": -math.inf,
    "1e400": math.inf,
    "-1": -1,
    "1000000000000000000000000000000": 10**30,
    "true": True,
    "1:30": "1:30",
}
"""By the YAML that stands for them, values that are refused wherever one number is meant."""


def takes_number(hint: Any) -> bool:  # Any: whatever an annotation may be
    """Whether an annotation asks for one number, whatever else it takes."""
    if isinstance(hint, str):  # it may name types that are only there for a type checker
        return any(part.strip() in ("int", "float") for part in hint.split("|"))
    if hint in (int, float):
        return True
    if get_origin(hint) is Literal:
        return any(type(choice) is int for choice in get_args(hint))
    return get_origin(hint) in (Union, types.UnionType) and any(map(takes_number, get_args(hint)))


def numbers_of(build: Callable[..., object]) -> Iterator[str]:
    """The parameters of a class or function that are numbers."""
    for name, parameter in inspect.signature(build).parameters.items():
        if takes_number(parameter.annotation):
            yield name
