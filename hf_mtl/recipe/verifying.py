"""A recipe's tasks, verified: whether each is what it would be alone."""

from __future__ import annotations

from hf_mtl.models import load_base, load_processor
from hf_mtl.recipe.factory import build
from hf_mtl.recipe.schema import Recipe
from hf_mtl.training import Verification, verify_isolation

__all__ = ["verify_recipe"]


def verify_recipe(recipe: Recipe, *, rounds: int = 5) -> Verification:
    """Verify isolation on a recipe's model and data; writes nothing into its `output_dir`.

    Args:
        recipe: A recipe as `load_recipe` gives it.
        rounds: Rounds of the drift, see `hf_mtl.training.verify_isolation`.

    Raises:
        ConfigError: No task has rows to learn from.
    """
    run, model = build(recipe), recipe.model
    return verify_isolation(
        lambda: load_base(
            run.source,
            dtype=model.dtype,
            hub_id=model.id or None,
            quantization=model.quantization,
            allow_pickle=model.allow_pickle,
        ),
        run.args,
        run.suite,
        processing_class=load_processor(run.source),
        rounds=rounds,
    )
