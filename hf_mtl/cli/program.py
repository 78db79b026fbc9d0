"""The verbs put together, and what happens to an error on its way to the terminal."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hf_mtl.cli import (
    compare,
    evaluate,
    init,
    predict,
    preview,
    push,
    recipes,
    relations,
    report,
    train,
    validate,
    verify,
)
from hf_mtl.cli.unexpected import message_of, traceback_of
from hf_mtl.cli.version import show_versions
from hf_mtl.errors import HfMtlError
from hf_mtl.printable import printable
from hf_mtl.terminal import Terminal, say

__all__ = ["app", "main"]

_INTERRUPTED = 130  # 128 + SIGINT, what shells expect
_FAILED = 2
_UNEXPECTED = 1
_OF_TYPER = ("typer", "click")


class _Program(TyperGroup):
    """Shows every error as a short message; the traceback of one that nobody expected goes into a file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # Any: typer's classes are not public
        try:
            return list(super().parse_args(ctx, args))
        except Exception as error:
            _make_printable(error)
            raise

    def invoke(self, ctx: Any) -> Any:  # Any: as above
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _show("Interrupted.", "yellow")
            raise typer.Exit(_INTERRUPTED) from None
        except Exception as error:
            if _is_of_typer(error) or _nobody_reads(error):
                _make_printable(error)
                raise
            expected = isinstance(error, HfMtlError)
            if ctx.params["traceback"]:
                _show(traceback_of(error))
            else:
                _show(f"{type(error).__name__}: {error}" if expected else message_of(error), "red")
            raise typer.Exit(_FAILED if expected else _UNEXPECTED) from None


def _show(text: str, style: str = "") -> None:
    say(Terminal(stderr=True), text, style)


def _is_of_typer(error: Exception) -> bool:
    """Whether it is a wrong argument or the wish to end, which typer handles."""
    return type(error).__module__.split(".")[0] in _OF_TYPER


def _make_printable(error: Exception) -> None:
    """Make the message of a wrong argument, which quotes it, harmless."""
    facts = vars(error)
    if isinstance(facts.get("message"), str):
        facts["message"] = printable(facts["message"])


def _nobody_reads(error: Exception) -> bool:
    """Whether a program that read our output, such as `head`, has ended; no message is then due."""
    if not isinstance(error, BrokenPipeError):
        return False
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return True
    return False


app = typer.Typer(
    cls=_Program,
    help="Fine-tune one frozen language model on many tasks at once and get one ordinary PEFT adapter per task.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("init")(init.init)
app.command("validate")(validate.validate)
app.command("preview")(preview.preview)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("predict")(predict.predict)
app.command("push")(push.push)
app.command("report")(report.report)
app.command("relations")(relations.relations)
app.command("verify")(verify.verify)
app.add_typer(recipes.app, name="recipes")


@app.callback()
def _options(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show versions and exit.", callback=show_versions, is_eager=True),
    ] = False,
) -> None:
    """Take the options that stand before the verb; `_Program` reads them."""


def main() -> None:
    """Run the program with the arguments of the command line."""
    for stream in (
        sys.stdout,
        sys.stderr,
    ):  # of an encoding that lacks a character, such as ASCII, show its number
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="hf-mtl")
