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
    "recipe: ten thousand levels": _LIMITS,
    "recipe: a thousand levels": _LIMITS,
    "recipe: an alias bomb": _LIMITS,
    "recipe: template width of a billion": _TEMPLATES,
    "recipe: adapter pattern with a hole": _LIMITS,
    "rows: NaN as a text": _TEMPLATES,
    "command line: a change of ten thousand levels": _LIMITS,
    "adapter: a pattern that never ends": _LIMITS,
    "adapter: a pattern of 100,000 letters": _LIMITS,
    "adapter: 10,000 targets": _LIMITS,
    "adapter: layers as a text": _LIMITS,
    "manifest: report of deep JSON": _LIMITS,
    "tokenizer: config is empty": _LIMITS,
    "tokenizer: config is cut": _LIMITS,
    "tokenizer: config is a list": _LIMITS,
    "tokenizer: config is binary": _LIMITS,
    "tokenizer: config of 100,000 levels": _LIMITS,
    "tokenizer: config's type is a list": _OPEN,
    "tokenizer: tokenizer is a list": _LIMITS,
    "tokenizer: tokenizer of deep JSON": _LIMITS,
    "tokenizer: tokenizer of an unknown model": _OPEN,
    "tokenizer: tokenizer's config is a list": _LIMITS,
    "tokenizer: tokenizer of an unknown class": _OPEN,
    "tokenizer: tokenizer's longest is a text": _OPEN,
    "tokenizer: end token is a number": _OPEN,
    "tokenizer: a template that divides by zero": _TEMPLATES,
    "tokenizer: a template without end": _TEMPLATES,
    "tokenizer: a template of a billion letters": _TEMPLATES,
    "tokenizer: a message of an unknown role": _OPEN,
    "image: a PNG of zeros that unpack to much": _LIMITS,
    "image: an image is missing": _OPEN,
    "image: an image is a folder": _OPEN,
    "image: an image at an address": _OPEN,
    "image: an image leads out": _OPEN,
    "image: a label that is null": _OPEN,
    "image: a processor of no size": _OPEN,
    "image: a processor of a huge size": _LIMITS,
    "image: images for a base of texts": _OPEN,
    "python: an optimizer that there is not": _OPEN,
    "python: a schedule that there is not": _OPEN,
    "python: a best metric that there is not": _OPEN,
}
"""Cases that are not answered well yet, as `subject: name`, each with the reason; one that is must leave this list."""
