"""Keywords that a constructor does not have: answered with what to write, all of them at once.

>>> print(*keyword_problems("Task(...)", ("train", "eval"), {"trian": 1}))
Task(...) has no keyword 'trian'. Did you mean 'train'? Valid keywords: 'eval', 'train'.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Concatenate, ParamSpec, TypeVar

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.familiar import FAMILIAR

__all__ = ["collecting_keywords", "explained_keywords", "keyword_problems"]

_FEW = 20  # so many valid keywords are listed even beside a likely one

Parameters = ParamSpec("Parameters")
Made = TypeVar("Made", bound=type)
Itself = TypeVar("Itself")


def keyword_problems(
    place: str,
    names: Collection[str],
    given: Mapping[str, object],
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """What is wrong with keywords: familiar ones get the way to write them here, others the nearest valid name.

    Args:
        place: What they are given to, as messages call it.
        names: The valid keywords.
        given: The keywords with their values.
        elsewhere: By name, where a keyword of neither list belongs.
    """
    problems = []
    for name, value in given.items():
        known = FAMILIAR.get(name)
        if name in names or (known is not None and (value is None or _is_one_of(value, known.same))):
            continue
        if known is not None:
            problems.append(f"{place} has no keyword {name!r}: {known.instead}.")
        elif name in elsewhere:
            problems.append(f"{place} has no keyword {name!r}: {elsewhere[name]}.")
        else:
            near = did_you_mean(name, names) or _near_elsewhere(name, elsewhere)
            valid = "" if near and len(names) > _FEW else f" Valid keywords: {listing(names)}."
            problems.append(f"{place} has no keyword {name!r}.{near}{valid}")
    return problems


def _near_elsewhere(name: str, elsewhere: Mapping[str, str]) -> str:
    near = difflib.get_close_matches(name, elsewhere, n=1)
    return f" Did you mean {near[0]!r}? Then {elsewhere[near[0]]}." if near else ""


def _is_one_of(value: object, same: tuple[object, ...]) -> bool:
    """By identity for True and False: an array has no truth, and 1 is not meant by True."""
    return any(value is own or (isinstance(value, str) and value == own) for own in same)


def explained_keywords(cls: Made) -> Made:
    """Let a dataclass answer keywords that it does not have as `keyword_problems` says, with all its other problems."""
    init: Callable[..., None] = cls.__init__  # type: ignore[misc]  # of a dataclass, whose __init__ is its class's
    signature = inspect.signature(init)

    @functools.wraps(init)
    def explained(self: object, *args: Any, **keywords: Any) -> None:  # Any: as the class has them
        known, problems = _sorted_out(_shown(cls.__name__, args), signature, (self, *args), keywords)
        if not problems:
            init(self, *args, **known)
            return
        try:
            init(self, *args, **known)
        except ConfigError as error:
            problems += error.problems
        except (ImportError, TypeError, ValueError) as error:
            problems.append(f"{cls.__name__}: {error}")
        raise ConfigError(problems)

    cls.__init__ = explained  # type: ignore[misc]  # as above
    return cls


def collecting_keywords(
    elsewhere: Mapping[str, str],
) -> Callable[
    [Callable[Concatenate[Itself, Parameters], None]], Callable[Concatenate[Itself, Parameters], None]
]:
    """Let a constructor find the problems of keywords that it does not have in `self.keyword_problems`.

    It raises them together with its other ones, before it does costly work.

    Args:
        elsewhere: As in `keyword_problems`.
    """

    def decorate(
        init: Callable[Concatenate[Itself, Parameters], None],
    ) -> Callable[Concatenate[Itself, Parameters], None]:
        signature = inspect.signature(init)
        name = init.__qualname__.partition(".")[0]

        @functools.wraps(init)
        def collecting(self: Itself, /, *args: Parameters.args, **keywords: Parameters.kwargs) -> None:
            known, problems = _sorted_out(f"{name}(...)", signature, (self, *args), keywords, elsewhere)
            vars(self)["keyword_problems"] = problems
            init(self, *args, **known)

        return collecting

    return decorate


def _shown(name: str, args: tuple[object, ...]) -> str:
    """A call as messages show it, with the name or folder that it begins with."""
    return f"{name}({args[0]!r}, ...)" if args and isinstance(args[0], str) else f"{name}(...)"


def _sorted_out(
    place: str,
    signature: inspect.Signature,
    args: tuple[object, ...],
    keywords: Mapping[str, Any],  # Any: as the constructor has them
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Any], list[str]]:
    """The keywords that a constructor has, and the problems of the others."""
    parameters = list(signature.parameters.values())[1:]
    names = [own.name for own in parameters]
    problems = keyword_problems(place, names, keywords, elsewhere)
    known = {key: value for key, value in keywords.items() if key in names}
    try:
        signature.bind(*args, **known)
    except TypeError as error:
        places = ", ".join(own.name for own in parameters if own.kind is own.POSITIONAL_OR_KEYWORD)
        text = f"{place}: {error}. By position go {places}; write all others as name=value."
        raise ConfigError([*problems, text]) from None
    return known, problems
