"""A whole run as data: read, checked, built and run in one place.

    from hf_mtl.recipe import load_recipe, run_recipe

    report = run_recipe(load_recipe("recipes/quickstart/recipe.yaml"))

A recipe with several mistakes is answered by one `ConfigError` that lists them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.lazy import lazy_names
from hf_mtl.recipe.loading import load_recipe, read_resolved, save_recipe
from hf_mtl.recipe.schema import ModelSpec, Recipe, TaskSpec, TemplateSpec

if TYPE_CHECKING:
    from hf_mtl.recipe.asset_names import named_assets
    from hf_mtl.recipe.card_facts import collect_facts
    from hf_mtl.recipe.cards import make_cards
    from hf_mtl.recipe.comparing import compare_recipe
    from hf_mtl.recipe.factory import Run, build
    from hf_mtl.recipe.preview_page import write_preview_page
    from hf_mtl.recipe.previewing import preview_recipe
    from hf_mtl.recipe.rehearsal import rehearse
    from hf_mtl.recipe.row_checks import check_rows
    from hf_mtl.recipe.run import run_recipe
    from hf_mtl.recipe.verifying import verify_recipe

__all__ = [
    "ModelSpec",
    "Recipe",
    "Run",
    "TaskSpec",
    "TemplateSpec",
    "build",
    "check_rows",
    "collect_facts",
    "compare_recipe",
    "load_recipe",
    "make_cards",
    "named_assets",
    "preview_recipe",
    "read_resolved",
    "rehearse",
    "run_recipe",
    "save_recipe",
    "verify_recipe",
    "write_preview_page",
]

# Reading a recipe takes a fraction of a second; torch and transformers come with what runs it.
__getattr__ = lazy_names(
    __name__,
    {
        "factory": "Run build",
        "row_checks": "check_rows",
        "card_facts": "collect_facts",
        "comparing": "compare_recipe",
        "cards": "make_cards",
        "asset_names": "named_assets",
        "previewing": "preview_recipe",
        "rehearsal": "rehearse",
        "run": "run_recipe",
        "verifying": "verify_recipe",
        "preview_page": "write_preview_page",
    },
)
