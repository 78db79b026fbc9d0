"""The options of an objective, as its constructor declares them, and what is wrong with those that a user gives."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from hf_mtl.bounds import impossible
from hf_mtl.errors import did_you_mean, listing

__all__ = ["Option", "option_problems", "options_of"]

Hint: TypeAlias = Any  # Any: whatever an annotation may be

_BY_TASK = Mapping[str, float]
_WORDS: Mapping[Hint, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    type(None): "nothing",
    _BY_TASK: "numbers by task name, such as {'my-task': 1.0}",
    Mapping[str, Mapping[str, float]]: "numbers by two task names, such as {'one': {'other': 1.0}}",
}


@dataclass(frozen=True)
class Option:
    """One parameter of a constructor that can be given as plain data.

    Args:
        hint: Its type; a vector of one number per task is a mapping by task name.
        required: Whether it has no default.
    """

    hint: Hint
    required: bool

    @property
    def expects(self) -> str:
        """What it accepts, in words."""
        return " or ".join(_words(part) for part in _alternatives(self.hint) if part is not type(None))

    def accepts(self, value: object) -> bool:
        """Whether a value is of its type; numbers are finite, and true is no number."""
        config = ConfigDict(strict=True, allow_inf_nan=False)
        try:
            TypeAdapter(self.hint, config=config).validate_python(value)
        except ValidationError:
            return False
        return not _holds_impossible(value)


def options_of(build: Callable[..., object], *, hidden: Collection[str] = ()) -> dict[str, Option]:
    """The options of a class, in the order of its constructor.

    Parameters that plain data cannot express, such as functions, are left out.

    Args:
        build: The class.
        hidden: Parameters that are not the user's to give.

    Example:
        >>> class Rule:
        ...     def __init__(self, *, rate: float = 0.1) -> None: ...
        >>> options_of(Rule)["rate"].expects
        'a number'
    """
    found = {}
    for name, parameter in inspect.signature(build, eval_str=True).parameters.items():
        hint = _as_plain(parameter.annotation)
        if name not in hidden and hint is not None:
            found[name] = Option(hint, parameter.default is inspect.Parameter.empty)
    return found


def option_problems(owner: str, known: Mapping[str, Option], given: Mapping[str, object]) -> list[str]:
    """All that is wrong with these options: unknown, missing, of another type.

    Args:
        owner: Whose options they are, as messages call it.
        known: The options that there are.
        given: Those of the user.

    Example:
        >>> option_problems("the objective 'dwa'", {"window": Option(int, False)}, {"windw": 3})
        ["the objective 'dwa' has no option 'windw'; its options are 'window'. Did you mean 'window'?"]
    """
    choices = listing(known) or "none"
    problems = []
    for name, value in given.items():
        if name not in known:
            problems.append(
                f"{owner} has no option {name!r}; its options are {choices}.{did_you_mean(name, known)}"
            )
        elif not known[name].accepts(value):
            problems.append(f"{owner}: {name} must be {known[name].expects}, found {value!r}.")
    for name, option in known.items():
        if option.required and name not in given:
            problems.append(f"{owner} needs the option {name!r}: {option.expects}.")
    return problems


def _holds_impossible(value: object) -> bool:
    """Whether there is a number in it that no setting takes, such as a whole one of more than 64 bits."""
    if isinstance(value, Mapping):
        return any(map(_holds_impossible, value.values()))
    return impossible(value) is not None


def _alternatives(hint: Hint) -> tuple[Hint, ...]:
    origin: object = get_origin(hint)
    return get_args(hint) if origin in (Union, types.UnionType) else (hint,)


def _as_plain(hint: Hint) -> Hint:
    """The type of the plain data that a parameter of this type takes, or None where it takes none."""
    parts = [_BY_TASK if part is Tensor else part for part in _alternatives(hint)]
    if float in parts:  # a number for all, where there may also be one for each
        parts = [part for part in parts if part != _BY_TASK]
    plain = tuple(part for part in parts if part in _WORDS or _is_choice(part))
    return Union[plain] if set(plain) - {type(None)} else None  # noqa: UP007 - made at run time


def _is_choice(hint: Hint) -> bool:
    origin: object = get_origin(hint)
    return origin is Literal


def _words(hint: Hint) -> str:
    if _is_choice(hint):
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    return _WORDS[hint]
