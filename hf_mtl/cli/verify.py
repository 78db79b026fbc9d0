"""`hf-mtl verify`: show on a user's own model and data that every task is what it would be alone."""

from __future__ import annotations

import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hf_mtl.bounds import COUNT
from hf_mtl.cli.options import Changes, RecipeFile, within
from hf_mtl.cli.quiet import be_quiet
from hf_mtl.terminal import Terminal, say

if TYPE_CHECKING:
    from hf_mtl.training import TaskFigures, Verification

__all__ = ["verify"]

_BROKEN = 1


def verify(
    recipe: RecipeFile,
    settings: Changes = None,
    rounds: Annotated[
        int, typer.Option(callback=within(COUNT), help="Rounds over which the drift is measured.")
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Train each task of a recipe alone and all together for a few rounds, and compare; exits 1 if isolation is broken.

    Writes no file and no checkpoint; the recipe's output_dir is left alone.
    """
    be_quiet()
    logging.getLogger("hf_mtl").setLevel(logging.WARNING)  # the other notices would come with every run
    from hf_mtl.recipe import load_recipe, verify_recipe
    from hf_mtl.recipe.places import placed

    checked = load_recipe(recipe, settings or ())
    console = Terminal(stderr=as_json)
    with placed(recipe, settings or ()), console.status("Training each task alone, and all together ..."):
        found = verify_recipe(checked, rounds=rounds)
    if as_json:
        content = {**dataclasses.asdict(found), "broken": found.broken}
        typer.echo(json.dumps(content, indent=2))
    else:
        _show(found, console)
    if found.broken:
        raise typer.Exit(_BROKEN)


def _show(found: Verification, console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("task", overflow="fold", style="bold")
    for title in ("update", "permuted", f"drift, {found.rounds}", "permuted", "export"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for figures in found.tasks:
        table.add_row(Text(figures.task), *_cells(figures))
    console.print(table)
    limits = found.limits
    say(
        console,
        f"Update: how much the change of a task's weights in one round differs between together and alone, relative to "
        f"that change. Drift, {found.rounds}: the same over the first {found.rounds} rounds. Permuted: what another "
        f"order of the rows in the task's own batches does, which is rounding. Isolation holds up to 10 times that, or "
        f"up to {limits.update:.1e} and {limits.drift:.1e}, the rounding of {found.dtype}. Export: the largest "
        f"difference of the saved adapter's logits in plain PEFT, relative to the largest; up to {limits.export:.1e} "
        f"is rounding.",
        wrap=True,
    )
    for finding in found.findings:
        say(console, f"isolation='relaxed': {finding}.", style="yellow", wrap=True)
    for figures in found.tasks:
        for problem in figures.problems:
            say(console, f"{figures.task}: {problem}.", style="red", wrap=True)
    if found.broken:
        say(console, f"Isolation is broken for {', '.join(found.broken)}.", style="bold red", wrap=True)
    else:
        say(console, "Isolation holds for every task.", style="bold green", wrap=True)


def _cells(figures: TaskFigures) -> list[str | Text]:
    values = (
        figures.update,
        figures.update_permuted,
        figures.drift,
        figures.drift_permuted,
        figures.export,
    )
    verdict = Text("broken", style="bold red") if figures.problems else Text("holds", style="green")
    return [*("–" if value is None else "0" if value == 0 else f"{value:.1e}" for value in values), verdict]
