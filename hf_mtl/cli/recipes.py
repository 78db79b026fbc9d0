"""`hf-mtl recipes`: the recipes that come with hf_mtl, and the check of any recipe."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hf_mtl.cli.completion import shipped_names
from hf_mtl.cli.quiet import be_quiet
from hf_mtl.cli.shipped import description, shipped_recipes
from hf_mtl.cli.validate import validate
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.files import check_folder, staged, writing
from hf_mtl.terminal import Terminal, say

__all__ = ["app"]

app = typer.Typer(help="List, copy and validate recipes.", no_args_is_help=True)


@app.command("list")
def list_recipes() -> None:
    """Show the recipes that come with hf_mtl."""
    table = Table.grid(padding=(0, 2))
    for name, folder in shipped_recipes().items():
        table.add_row(name, description(folder))
    Terminal().print(table)


@app.command("copy")
def copy(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A name that `hf-mtl recipes list` shows.",
            show_default=False,
            autocompletion=shipped_names,
        ),
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="The folder to create.", show_default=False)
    ],
) -> None:
    """Copy a recipe with its data into a new folder, to change it there."""
    folder = _folder_of(name)
    check_folder(destination.parent, named_by="DEST")
    if destination.exists():
        raise ConfigError(f"{destination} exists; expected the name of a folder to create.")
    with staged(destination) as new, writing(new):
        shutil.copytree(folder, new, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    say(Terminal(), f"hf-mtl train {destination / 'recipe.yaml'}")


@app.command("fetch")
def fetch(
    recipes: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Names that `hf-mtl recipes list` shows, or YAML files.",
            show_default=False,
            autocompletion=shipped_names,
        ),
    ],
) -> None:
    """Download the models and data that recipes name as `asset:...`; what is there already stays."""
    be_quiet()
    from hf_mtl.data.assets import asset_problem, resolve_asset
    from hf_mtl.recipe import named_assets

    names = dict.fromkeys(name for recipe in recipes for name in named_assets(_file_of(recipe)))
    if problems := [problem for name in names if (problem := asset_problem(name))]:
        raise ConfigError(problems)  # before the first download
    for name in names:
        say(Terminal(), f"{name}: {resolve_asset(name)}")


app.command("validate")(validate)  # as it was called first


def _folder_of(name: str) -> Path:
    known = shipped_recipes()
    if name not in known:
        raise ConfigError(
            f"there is no recipe {name!r}.{did_you_mean(name, known)} Recipes: {listing(known)}."
        )
    return known[name]


def _file_of(recipe: str) -> Path:
    is_file = Path(recipe).suffix in (".yaml", ".yml")
    return Path(recipe) if is_file else _folder_of(recipe) / "recipe.yaml"
