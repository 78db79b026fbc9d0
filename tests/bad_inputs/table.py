"""The whole table, by subject."""

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

__all__ = ["SUBJECTS"]

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
