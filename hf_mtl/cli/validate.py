"""`hf-mtl validate`: what is wrong with recipes and their data, before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hf_mtl.cli.collecting import rare_collections
from hf_mtl.cli.options import Resume
from hf_mtl.cli.quiet import be_quiet
from hf_mtl.errors import ConfigError
from hf_mtl.terminal import Terminal, say

if TYPE_CHECKING:
    from hf_mtl.recipe import Recipe

__all__ = ["validate"]


def validate(
    recipes: Annotated[
        list[Path], typer.Argument(metavar="RECIPE...", help="YAML files.", show_default=False)
    ],
    resume: Resume = None,
) -> None:
    """Check recipes, their data, a sample of each task's rows and the adapters on the base; every problem is listed."""
    with rare_collections():
        problems = _problems(recipes, resume, Terminal())
    if problems:
        raise ConfigError(problems)


def _problems(recipes: list[Path], resume: str | None, console: Console) -> list[str]:
    """What is wrong with the recipes; what is right, or was not looked at, is printed."""
    be_quiet()
    from hf_mtl.data.read_once import reading_once
    from hf_mtl.recipe import load_recipe, rehearse
    from hf_mtl.recipe.loading import read_recipe
    from hf_mtl.recipe.places import placed_problem

    problems: list[str] = []
    for path in recipes:
        try:
            with reading_once():
                recipe = load_recipe(path)
                checks = rehearse(recipe, resume=resume)
                wrong = [*checks.problems, *_variant_problems(path, recipe)]
        except ConfigError as error:
            problems += [f"{path}: {problem}" for problem in error.problems]
            continue
        document = read_recipe(path)
        problems += [f"{path}: {placed_problem(problem, document)}" for problem in wrong]
        if not wrong:
            looked = f", {checks.rows} rows tokenised" if checks.rows else ""
            say(console, f"{path}: valid, tasks {', '.join(recipe.tasks)}{looked}")
        for note in checks.skipped:
            say(console, f"{path}: will be skipped: {note}")
        for note in checks.unchecked:
            say(console, f"{path}: not checked: {note}")
    return problems


def _variant_problems(path: Path, recipe: Recipe) -> list[str]:
    if not recipe.variants:
        return []
    from hf_mtl.recipe.variants import variant_problems  # loads what a comparison needs

    return variant_problems(path, recipe)
