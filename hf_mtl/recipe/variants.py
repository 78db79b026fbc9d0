"""The variants of a recipe, which `hf-mtl compare` trains: by name, what each changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hf_mtl.errors import ConfigError
from hf_mtl.evaluation.comparison import ALONE
from hf_mtl.recipe.loading import load_recipe
from hf_mtl.recipe.schema import Recipe

__all__ = ["overrides_of", "variant_problems", "variants_of"]

JOINT = "joint"  # the recipe as it stands

_PRIVATE = {"sharing": "private", "objective": "equal"}

Variant = Mapping[str, object]


def variants_of(recipe: Recipe) -> dict[str, Variant]:
    """All variants that are compared: the tasks alone, the recipe as it stands where that differs, and its own.

    Raises:
        ConfigError: If a variant of the recipe has a reserved name.
    """
    variants: dict[str, Variant] = {ALONE: _PRIVATE}
    if recipe.sharing != "private":
        variants[JOINT] = {}
    if taken := sorted(variants.keys() & recipe.variants.keys()):
        raise ConfigError(f"variants: {taken[0]!r} is a reserved variant name; rename it.")
    return variants | recipe.variants


def overrides_of(variant: Variant) -> list[str]:
    """What a variant changes, as `load_recipe` takes it."""
    return [f"{key}={json.dumps(value)}" for key, value in variant.items()]


def variant_problems(path: Path, recipe: Recipe) -> list[str]:
    """What is wrong with the variants of a recipe that is right without them."""
    problems: list[str] = []
    try:
        variants_of(recipe)
    except ConfigError as error:
        problems += error.problems
    for name, variant in recipe.variants.items():
        try:
            load_recipe(path, overrides_of(variant))
        except ConfigError as error:
            problems += [f"variants.{name}: {problem.removeprefix('--set ')}" for problem in error.problems]
    return problems
