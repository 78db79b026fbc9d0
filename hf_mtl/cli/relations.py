"""`hf-mtl relations`: how much the tasks of a run have in common."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from hf_mtl.bounds import POSITIVE
from hf_mtl.cli.options import within
from hf_mtl.cli.quiet import be_quiet
from hf_mtl.files import check_target
from hf_mtl.terminal import Terminal, say

__all__ = ["relations"]


class Source(StrEnum):
    """What the relations are made of."""

    COSINES = "cosines"
    RESULTS = "results"
    ADAPTERS = "adapters"


def relations(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder that `train` wrote.", show_default=False)
    ],
    by: Annotated[
        Source,
        typer.Option(
            help="The cosines of gradients that the run kept, the correlation of results over its evaluations, or the "
            "distances of its adapters."
        ),
    ] = Source.ADAPTERS,
    tau: Annotated[
        float,
        typer.Option(callback=within(POSITIVE), help="With adapters: small ones see the nearest task only."),
    ] = 1.0,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write there.", show_default="relations.json in RUN"),
    ] = None,
) -> None:
    """Relate the tasks of a run: a table, and a file for `sharing` (`groups`, `soft`) and for `hf-mtl report`."""
    file = run / "relations.json" if output is None else output
    if output is not None:
        check_target(output, named_by="--output")
    be_quiet()
    from hf_mtl.recipe.relating import relations_of_run

    found = relations_of_run(run, by.value, tau=tau)
    found.save(file)
    table = Table("", *found.names, box=box.SIMPLE_HEAD, title=found.source, title_justify="left")
    for name, row in zip(found.names, found.values, strict=True):
        table.add_row(name, *(f"{value:.2f}" for value in row))
    console = Terminal()
    console.print(table)
    for note in (*found.notes, f"relations: {file}"):
        say(console, note)
