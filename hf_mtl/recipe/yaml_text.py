"""Values as the YAML of a recipe, on one line or on several, in the form that people write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from hf_mtl.printable import json_text
from hf_mtl.recipe.document import parse_yaml

__all__ = ["block", "flow"]

_PLAIN = re.compile(r"[\w./][\w ./+-]*[\w./+-]|\w")


def flow(value: object) -> str:
    """A value on one line.

    >>> flow({"name": "a b", "labels": ["no", "1", "x: y"]})
    '{name: a b, labels: [no, "1", "x: y"]}'
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(own)}" for key, own in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    # Words stay as they are if a recipe reads them back as the same words.
    plain = _PLAIN.fullmatch(value) and parse_yaml(value) == value
    return value if plain else json_text(value)


def block(values: Mapping[str, object], *, indent: int) -> list[str]:
    """A mapping with a line for each key."""
    return [f"{' ' * indent}{flow(key)}: {flow(value)}" for key, value in values.items()]
