"""`hf-mtl init`: a recipe from data files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_mtl.cli.quiet import be_quiet
from hf_mtl.files import check_target
from hf_mtl.terminal import Terminal, say

__all__ = ["init"]


def init(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Data files, or folders of them; `a.train.csv` and `a.test.csv` are splits of one task.",
            show_default=False,
        ),
    ],
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="The base model: a Hub id or a folder; default a small language model."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="RECIPE", help="The recipe to write; its paths are relative to it.")
    ] = Path("recipe.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Write over a recipe that is there.")] = False,
) -> None:
    """Write a recipe from data files: kinds, columns, labels and splits are recognised and written down."""
    check_target(output, named_by="--output")
    be_quiet()
    from hf_mtl.recipe.drafting import draft_recipe, write_draft

    draft = draft_recipe(files, output, base=base)
    write_draft(draft, output, force=force)
    console = Terminal()
    for line in (*draft.lines, f"hf-mtl train {output}"):
        say(console, line)
