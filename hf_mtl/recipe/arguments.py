"""From the `training` section of a recipe to training arguments."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from hf_mtl.errors import ConfigError
from hf_mtl.recipe.settings import field_problems
from hf_mtl.training import MultiTaskTrainingArguments

__all__ = ["argument_problems", "training_arguments"]

_TOP_LEVEL = ("output_dir", "sharing", "objective")


def training_arguments(
    values: Mapping[str, object], **top_level: str | Mapping[str, object]
) -> MultiTaskTrainingArguments:
    """Return the arguments.

    Args:
        values: The section `training`.
        **top_level: The arguments that stand at a recipe's top level.

    Raises:
        ConfigError: The values do not go together, or not with this machine.
    """
    fields: dict[str, Any] = copy.deepcopy({**values, **top_level})  # Any: checked by `field_problems`
    try:
        return MultiTaskTrainingArguments(**fields)
    except (ImportError, TypeError, ValueError) as error:
        raise ConfigError(f"transformers refuses these training arguments: {error}") from error


def argument_problems(values: Mapping[str, object], report: Callable[[str, str], None]) -> None:
    """Report what keeps `values` from being training arguments.

    Args:
        values: By the names of fields.
        report: Takes a field's name (or "" for all of them) and what is wrong.
    """
    right = dict(values)

    def note(name: str, text: str) -> None:
        del right[name]
        report(name, text)

    for name in _TOP_LEVEL:
        if name in right:
            note(name, f"write {name} at the recipe's top level.")
    for name in [name for name in right if name.endswith("_token")]:
        note(
            name,
            "a recipe is kept beside its results and shared; log in with `hf auth login`, or set HF_TOKEN.",
        )
    field_problems(MultiTaskTrainingArguments, dict(right), _TOP_LEVEL, note)
    try:
        # The class itself knows which of its fields do not go together.
        training_arguments(right, output_dir=".")
    except ConfigError as error:
        for problem in error.problems:
            report("", problem)
