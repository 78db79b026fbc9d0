"""`hf-mtl report`: a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hf_mtl.cli.quiet import be_quiet
from hf_mtl.files import check_folder
from hf_mtl.terminal import Terminal, say

__all__ = ["report"]


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder that `train` wrote.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write there.", show_default="the folder report in RUN"),
    ] = None,
) -> None:
    """Show a run as one page with figures and curves; writes index.html, its pictures and its data into a folder."""
    folder = run / "report" if output is None else output
    check_folder(folder, named_by="--output")
    be_quiet()
    from hf_mtl.evaluation.page import collect_story, write_page

    say(Terminal(), str(write_page(collect_story(run), folder)))
