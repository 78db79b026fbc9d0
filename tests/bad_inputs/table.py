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

_LIMITS, _TEMPLATES = "limits of depth, size and patterns", "limits of templates"
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
}
"""Cases that are not answered well yet, as `subject: name`, each with the reason; one that is must leave this list."""
