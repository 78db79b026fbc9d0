"""`hf-mtl compare`: a recipe in several ways, against its tasks alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_mtl.bounds import SEED
from hf_mtl.cli.options import Changes, RecipeFile, within
from hf_mtl.cli.quiet import be_quiet
from hf_mtl.files import check_folder

__all__ = ["compare"]


def compare(
    recipe: RecipeFile,
    settings: Changes = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(callback=within(SEED), help="A seed; may be repeated.", show_default="0, 1 and 2"),
    ] = None,
    output_dir: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Write there.", show_default="output_dir-compare")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Two rounds on a few rows for each run.")] = False,
) -> None:
    """Train a recipe's `variants` over seeds and compare them with each task alone; runs that are there are kept."""
    if output_dir is not None:
        check_folder(Path(output_dir), named_by="--output-dir")
    be_quiet()
    from hf_mtl.recipe import compare_recipe
    from hf_mtl.recipe.places import placed

    with placed(recipe, settings or ()):
        compare_recipe(
            recipe, overrides=settings or (), seeds=seed or (0, 1, 2), output_dir=output_dir, smoke=smoke
        )
