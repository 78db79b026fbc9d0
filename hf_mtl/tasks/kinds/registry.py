"""The kinds of task by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.tasks.kinds.kind import Kind

__all__ = ["KINDS", "kind_of", "register"]

KINDS: dict[str, type[Kind]] = {}
"""By name; `register` adds to it."""

Registered = TypeVar("Registered", bound=type[Kind])


def register(kind: Registered) -> Registered:
    """Make a kind known by its name; usable as a decorator.

    Raises:
        ConfigError: If another kind has that name.
    """
    if KINDS.get(kind.name, kind) is not kind:
        raise ConfigError(f"there is a kind {kind.name!r} already: {KINDS[kind.name].__name__}.")
    KINDS[kind.name] = kind
    return kind


def kind_of(given: str | Mapping[str, Any] | Kind) -> Kind:  # Any: options of a kind
    """The kind that a name, a mapping with `name` and options, or an object stands for.

    Raises:
        ConfigError: If there is none of that name, or it has no such option.
    """
    if isinstance(given, Kind):
        return given
    if not isinstance(given, str | Mapping):
        raise ConfigError(
            f"kind: expected a name, a mapping of name and options, or a Kind, found {given!r:.80}."
        )
    options = {"name": given} if isinstance(given, str) else dict(given)
    if "name" not in options:
        raise ConfigError(f"kind: the option 'name' is missing; choose one of {listing(KINDS)}.")
    name = options.pop("name")
    if not isinstance(name, str) or name not in KINDS:
        raise ConfigError(
            f"there is no kind {name!r}; known are {listing(KINDS)}.{did_you_mean(str(name), KINDS)}"
        )
    known = [field.name for field in fields(KINDS[name])]  # type: ignore[arg-type]  # every kind is a dataclass
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"the kind {name!r} has no option {listing(unknown)}; its options are {listing(known) or 'none'}."
            f"{did_you_mean(unknown[0], known)}"
        )
    return KINDS[name](**options)
