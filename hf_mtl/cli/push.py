"""`hf-mtl push`: put a finished run's adapters on the Hub."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hf_mtl.cli.quiet import be_quiet

__all__ = ["push"]


class Layout(StrEnum):
    """The layouts of a push."""

    folders = "folders"
    repositories = "repositories"


def push(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            help="The folder that `train` wrote, or any folder with hf_mtl.json.",
            show_default=False,
        ),
    ],
    namespace: Annotated[
        str, typer.Option(metavar="NAME", help="The user or organisation on the Hub.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The suite's name there; default the folder's.")
    ] = None,
    layout: Annotated[
        Layout,
        typer.Option(
            help="One repository with a folder per task, or one repository per task and one for the suite."
        ),
    ] = Layout.folders,
    private: Annotated[bool, typer.Option("--private", help="Make new repositories private.")] = False,
) -> None:
    """Put the adapters of a run on the Hub, the manifest that links them last; only what has changed is sent.

    The token is the one of `hf auth login`, or HF_TOKEN.
    """
    be_quiet()
    from hf_mtl.export.hub import push_suite

    console = Console()
    pushed = push_suite(
        run,
        namespace,
        name=name,
        layout=layout.value,
        private=private or None,
        console=console,
    )
    for task, source in pushed.sources.items():
        console.print(f"{task}: {source}", markup=False, highlight=False, soft_wrap=True)
