"""The whole table, by subject, and the cases that wait for a change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bad_inputs import (
    adapters,
    bases,
    checkpoints,
    command_line,
    images,
    manifests,
    python_api,
    recipes,
    rows,
)
from bad_inputs.case import Case

__all__ = ["SUBJECTS", "WAITING"]

SUBJECTS: Mapping[str, Sequence[Case]] = {
    "recipe": recipes.CASES,
    "rows": rows.CASES,
    "command line": command_line.CASES,
    "python": python_api.CASES,
    "adapter": adapters.CASES,
    "manifest": manifests.CASES,
    "checkpoint": checkpoints.CASES,
    "tokenizer": bases.CASES,
    "image": images.CASES,
}

_LIMITS, _TEMPLATES, _OPEN = (
    "limits of depth, size and patterns",
    "limits of templates",
    "nobody has looked at it yet",
)
WAITING: Mapping[str, str] = {
    "rows: NaN as a text": _TEMPLATES,
    "adapter: 10,000 targets": _LIMITS,
    "adapter: layers as a text": _LIMITS,
    "tokenizer: tokenizer of an unknown class": _OPEN,
    "tokenizer: tokenizer's longest is a text": _OPEN,
    "tokenizer: a message of an unknown role": _OPEN,
    "image: an image is missing": _OPEN,
    "image: an image is a folder": _OPEN,
    "image: an image at an address": _OPEN,
    "image: an image leads out": _OPEN,
    "image: a label that is null": _OPEN,
    "image: a processor of no size": _OPEN,
    "image: a processor of a huge size": _LIMITS,
    "image: images for a base of texts": _OPEN,
    "tokenizer: config of no layers": _OPEN,
}
"""Cases that are not answered well yet, as `subject: name`, each with the reason; one that is must leave this list."""
