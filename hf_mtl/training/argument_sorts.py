"""Whether training arguments are of the sorts that their fields take, asked before transformers computes with them.

A text in the place of yes or no would count as yes; an unknown name ends in an error that does not say which argument.
"""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from hf_mtl.bounds import shown
from hf_mtl.errors import did_you_mean, listing

__all__ = ["sort_problems"]

_SORTS: Mapping[object, tuple[str, tuple[type, ...]]] = types.MappingProxyType(
    {
        bool: ("True or False", (bool, int)),
        str: ("a text", (str, os.PathLike)),
        list: ("a list", (Sequence,)),
        dict: ("a mapping", (Mapping,)),
        type(None): ("None", (type(None),)),
    }
)
_ELSEWHERE = (
    # What `__post_init__` turns into something else, so that `dataclasses.replace` passes on what no hint names.
    "accelerator_config", "fsdp", "fsdp_config", "parallelism_config",
    # Whose choices the arguments check themselves.
    "isolation", "nonfinite", "stop_rule",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Field:
    """What a field takes: one of some names, or a value of some sorts."""

    choices: tuple[str, ...]
    sorts: tuple[object, ...]

    def missed(self, value: object) -> str | None:
        if self.choices:
            if value in self.choices or (value is None and type(None) in self.sorts):
                return None
            near = did_you_mean(value, self.choices) if isinstance(value, str) else ""
            return f"expected one of {listing(self.choices)}, found {shown(value)}.{near}"
        # A command line's reader (HfArgumentParser) gives None for what it was not given.
        if value is None or any(isinstance(value, _SORTS[sort][1]) for sort in self.sorts):
            return None
        expected = " or ".join(dict.fromkeys(_SORTS[sort][0] for sort in self.sorts))
        return f"expected {expected}, found {shown(value)}."


def sort_problems(args: object) -> Iterator[str]:
    """One message for each argument of another sort; the numbers have their bounds.

    Args:
        args: An object of a dataclass of arguments, before its `__post_init__` or after it.
    """
    values = vars(args)
    for name, field in _fields(type(args)).items():
        if name in values and (problem := field.missed(values[name])) is not None:
            yield f"{name}: {problem}"


def _fields(cls: type) -> Mapping[str, _Field]:
    hints = typing.get_type_hints(cls)
    found = {}
    for own in dataclasses.fields(cls):
        hint = hints[own.name]
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kinds = typing.get_args(hint) if union else (hint,)
        sorts = tuple(typing.get_origin(kind) or kind for kind in kinds)
        enums = [kind for kind in sorts if isinstance(kind, type) and issubclass(kind, Enum)]
        choices = [str(member.value) for kind in enums for member in kind]
        field = _Field(tuple(choices or own.metadata.get("choices", ())), sorts)
        if own.name not in _ELSEWHERE and (field.choices or all(sort in _SORTS for sort in sorts)):
            found[own.name] = field
    return types.MappingProxyType(found)
