"""`hf-mtl evaluate`: measure a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_mtl.cli.quiet import be_quiet
from hf_mtl.terminal import Terminal

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_RECIPE",
            help="The folder that `train` wrote, or the recipe that it ran.",
            show_default=False,
        ),
    ],
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Also each adapter on the other tasks' rows, for the report.")
    ] = False,
) -> None:
    """Evaluate the adapters of a finished run on every task; writes evaluation.json into its folder."""
    be_quiet()
    from hf_mtl.recipe.finished import FinishedRun, run_folder

    FinishedRun(run_folder(run)).evaluate(Terminal(), transfers=transfer)
