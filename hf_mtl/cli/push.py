"""`hf-mtl push`: put a finished run's adapters on the Hub."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from hf_mtl.cli.quiet import be_quiet
from hf_mtl.terminal import Terminal, say

if TYPE_CHECKING:
    from hf_mtl.export.hub import DryRun

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
    only_list: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="List repositories, files and what would change; send and write nothing."
        ),
    ] = False,
) -> None:
    """Put the adapters of a run on the Hub, the manifest that links them last; only what has changed is sent.

    The token is the one of `hf auth login`, or HF_TOKEN.
    """
    be_quiet()
    from hf_mtl.export.hub import dry_run, push_suite

    console = Terminal()
    if only_list:
        _show(dry_run(run, namespace, name=name, layout=layout.value), console, private=private)
        return
    pushed = push_suite(
        run,
        namespace,
        name=name,
        layout=layout.value,
        private=private or None,
        console=console,
    )
    for task, source in pushed.sources.items():
        say(console, f"{task}: {source}")


def _show(found: DryRun, console: Console, *, private: bool) -> None:
    marks = {"new": "+", "changed": "~", "same": "="}
    for repo in found.repos:
        made = {
            True: "there already",
            False: f"to be made{', private' if private else ''}",
            None: "not looked at",
        }
        say(console, f"{repo.repo}  {made[repo.exists]}, {len(repo.files)} files, {repo.size:,} bytes")
        for file in repo.files:
            mark = "?" if file.change is None else marks[file.change]
            say(console, f"  {mark} {file.path}  {file.size:,} bytes")
    if found.unknown is not None:
        say(console, f"Not compared with the Hub: {found.unknown}")
    else:
        sent = [file for repo in found.repos for file in repo.files if file.change != "same"]
        say(console, f"To be sent: {len(sent)} files, {sum(file.size for file in sent):,} bytes.")
    say(console, "Dry run: nothing was sent or written.")
