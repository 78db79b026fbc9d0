"""`hf-mtl train`: run a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_mtl.cli.options import Changes, RecipeFile, Resume
from hf_mtl.cli.quiet import be_quiet
from hf_mtl.files import check_folder
from hf_mtl.launch import is_first
from hf_mtl.terminal import Terminal

__all__ = ["train"]


def train(
    recipe: RecipeFile,
    settings: Changes = None,
    resume: Resume = None,
    output_dir: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Write there instead of the recipe's output_dir.")
    ] = None,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke", help="Two rounds on a few rows, in a folder '...-smoke', to see that all works."
        ),
    ] = False,
) -> None:
    """Train the tasks of a recipe together: evaluate, train, evaluate again, and save one adapter per task."""
    be_quiet()
    from hf_mtl.recipe import load_recipe, run_recipe
    from hf_mtl.recipe.places import placed

    # Of several processes the first one speaks; torchrun tells each its number.
    console = Terminal(quiet=not is_first())
    loaded = load_recipe(recipe, settings or (), output_dir=output_dir, smoke=smoke)
    check_folder(Path(loaded.output_dir), named_by="output_dir")
    with placed(recipe, settings or ()):
        run_recipe(loaded, console, resume=resume)
