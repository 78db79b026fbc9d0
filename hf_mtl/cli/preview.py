"""`hf-mtl preview`: rows as the model sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_mtl.bounds import COUNT
from hf_mtl.cli.completion import recipe_tasks
from hf_mtl.cli.options import Changes, RecipeFile, within
from hf_mtl.cli.quiet import be_quiet
from hf_mtl.files import check_target
from hf_mtl.terminal import Terminal, say

__all__ = ["preview"]

_REFUSED = 1


def preview(
    recipe: RecipeFile,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this task. May be repeated.", autocompletion=recipe_tasks),
    ] = None,
    rows: Annotated[int, typer.Option(callback=within(COUNT), help="Rows of each task.")] = 3,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write one HTML page instead of printing.")
    ] = None,
    settings: Changes = None,
) -> None:
    """Show rows of each task token by token: what is learned, the ends, what max_length cuts off, the labels.

    Takes the base's tokenizer, not its weights. Exits 1 if training would refuse one of the rows.
    """
    if html is not None:
        check_target(html, named_by="--html", makes_folder=True)
    be_quiet()
    from hf_mtl.recipe import load_recipe, preview_recipe
    from hf_mtl.recipe.places import placed

    with placed(recipe, settings or ()):
        previews = preview_recipe(load_recipe(recipe, settings or ()), task or (), rows=rows)
    if html is None:
        from hf_mtl.cli.preview_text import print_previews

        print_previews(previews, Terminal())
    else:
        from hf_mtl.recipe import write_preview_page

        say(Terminal(), str(write_preview_page(previews, html, title=str(recipe))))
    if any(each.refused for each in previews):
        raise typer.Exit(_REFUSED)
