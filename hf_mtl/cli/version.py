"""`hf-mtl --version`: what to name in a bug report; no package is imported for it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import typer

from hf_mtl import __version__

__all__ = ["show_versions"]

_PACKAGES = ("torch", "transformers", "peft", "datasets", "tokenizers")


def show_versions(wanted: bool) -> None:
    """Print the versions, one a line, and end the program, if that is wanted."""
    if not wanted:
        return
    typer.echo(f"hf_mtl {__version__}")
    typer.echo(f"python {platform.python_version()}")
    for name in _PACKAGES:
        typer.echo(f"{name} {_version(name)}")
    raise typer.Exit


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
