"""Sharing structures by name, as recipes and training arguments give them.

>>> sharing_of({"name": "shared+private", "match_parameters": True}).everyone
True
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from peft import LoraConfig

from hf_mtl.bounds import COUNT, POSITIVE, Bounds, bound_problems
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.relations import Relations
from hf_mtl.setting_bounds import adapter_problems
from hf_mtl.tasks.sharing import Sharing

__all__ = ["STRUCTURES", "sharing_of"]

_OF_ADAPTERS = ("adapter", "match_parameters")

STRUCTURES: Mapping[str, tuple[Sharing, tuple[str, ...]]] = MappingProxyType(
    {
        "private": (Sharing("private"), ()),
        "shared": (Sharing("shared", everyone=True, private=False), _OF_ADAPTERS),
        "shared+private": (Sharing("shared+private", everyone=True), ("learned_scales", *_OF_ADAPTERS)),
        "groups": (
            Sharing("groups"),
            ("groups", "relations", "count", "everyone", "private", "learned_scales", *_OF_ADAPTERS),
        ),
        "soft": (Sharing("soft", strength=0.01), ("strength", "relations", "tau")),
    }
)
"""By name, the structure with its defaults, and the options that it has: fields of `Sharing`."""

_KINDS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "groups": (Mapping,),
        "relations": (Relations, Mapping, str, Path),
        "adapter": (LoraConfig, Mapping),
    }
)  # of the options that are not yes or no


_NUMBERS: Mapping[str, Bounds] = MappingProxyType({"count": COUNT, "strength": POSITIVE, "tau": POSITIVE})


def sharing_of(spec: str | Mapping[str, Any] | Sharing) -> Sharing:  # Any: options of a structure
    """A sharing structure.

    Args:
        spec: The name of a structure, a mapping of `name` and options, or an object. `adapter` may be a mapping of
            LoRA's fields; `relations` a file that `Relations.save` wrote, or a mapping of mappings.

    Raises:
        ConfigError: If there is no such structure or option, or they do not go together; with all problems.
        CheckpointError: If the file of relations cannot be read as one.
    """
    if isinstance(spec, Sharing):
        return spec
    options = dict(spec) if isinstance(spec, Mapping) else {"name": spec}
    if "name" not in options:
        raise ConfigError(f"sharing: the option 'name' is missing; choose one of {listing(STRUCTURES)}.")
    name = options.pop("name")
    if not isinstance(name, str) or name not in STRUCTURES:
        near = did_you_mean(name, STRUCTURES) if isinstance(name, str) else ""
        raise ConfigError(f"sharing: there is no structure {name!r}.{near} Valid: {listing(STRUCTURES)}.")
    usual, known = STRUCTURES[name]
    problems = [
        f"sharing: {name!r} has no option {key!r}.{did_you_mean(key, known)} Valid: {listing(known) or 'none'}."
        for key in options
        if key not in known
    ]
    problems += [problem for key, value in options.items() if key in known for problem in _odd(key, value)]
    if problems:
        raise ConfigError(problems)
    sharing = Sharing(**{**vars(usual), **{key: _made(key, value) for key, value in options.items()}})
    problems = _together(sharing)
    if problems:
        raise ConfigError(problems)
    return sharing


def _odd(key: str, value: object) -> list[str]:
    """What is wrong with the value of an option."""
    if key in _NUMBERS:
        return [f"sharing: {problem}" for problem in bound_problems(_NUMBERS, {key: value})]
    kinds = _KINDS.get(key, (bool,))
    if isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
        return []
    expected = " or ".join(kind.__name__ for kind in kinds)
    return [f"sharing: {key} must be {expected}, found {value!r}."]


def _made(key: str, value: Any) -> Any:  # Any: an option's value, of the kind that `_odd` has seen
    """The value of an option as `Sharing` takes it."""
    if key == "adapter" and isinstance(value, Mapping):
        try:
            value = LoraConfig(**value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"sharing: adapter: {error}") from error
    if key == "adapter" and (problems := adapter_problems(value)):
        raise ConfigError([f"sharing: adapter.{problem}" for problem in problems])
    if key == "relations" and isinstance(value, str | Path):
        return Relations.load(value)
    if key == "relations" and isinstance(value, Mapping):
        names = dict.fromkeys([*value, *(other for row in value.values() for other in row)])
        return Relations.given(value, tuple(names))
    return value


def _together(sharing: Sharing) -> list[str]:
    """What is wrong with options that are right by themselves."""
    problems = []
    if sharing.name == "groups" and bool(sharing.groups) is (sharing.count is not None):
        problems.append(
            "sharing: 'groups' takes either `groups` (name: [tasks]), or `relations` and `count`."
        )
    if sharing.count is not None and sharing.relations is None:
        problems.append("sharing: `count` forms so many groups, at least 1, of `relations`; give these too.")
    if sharing.tau is not None and sharing.relations is not None:
        problems.append("sharing: relations are either given (`relations`) or learned (`tau`), not both.")
    return problems
