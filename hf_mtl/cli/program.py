"""The verbs put together, and what happens to an error on its way to the terminal."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from io import TextIOWrapper
from pathlib import Path
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
from hf_mtl.errors import ConfigError, HfMtlError, WriteError
from hf_mtl.files.faults import reason
from hf_mtl.printable import printable
from hf_mtl.terminal import Terminal, say

__all__ = ["app", "main"]

_INTERRUPTED = 130  # 128 + SIGINT, what shells expect
_FAILED = 2
_UNEXPECTED = 1
_PERMISSION = "Give yourself the permission, or choose another."
_REFUSALS = {
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EIO: "Its disk may be failing: copy it to another place, and try again.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}
_OF_TYPER = ("typer", "click")


class _Program(TyperGroup):
    """Shows every error as a short message; the traceback of one that nobody expected goes into a file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # Any: typer's classes are not public
        try:
            return list(super().parse_args(ctx, args))
        except Exception as error:
            if (problem := _output_error(error)) is not None:  # of a help's text
                _show(f"{type(problem).__name__}: {problem}", "red")
                raise typer.Exit(_FAILED) from None
            _make_printable(error)
            raise

    def invoke(self, ctx: Any) -> Any:  # Any: as above
        try:
            _check_working_folder()
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _show("Interrupted.", "yellow")
            raise typer.Exit(_INTERRUPTED) from None
        except BaseException as error:
            if _is_of_typer(error) or not (isinstance(error, Exception) or _is_panic(error)):
                _make_printable(error)
                raise
            shown: BaseException = _output_error(error) or _file_error(error) or error
            expected = isinstance(shown, HfMtlError)
            if ctx.params["traceback"]:
                _show(traceback_of(error))
            else:
                _show(f"{type(shown).__name__}: {shown}" if expected else message_of(shown), "red")
            raise typer.Exit(_FAILED if expected else _UNEXPECTED) from None


def _show(text: str, style: str = "") -> None:
    with contextlib.suppress(OSError):  # the terminal is gone
        say(Terminal(stderr=True), text, style)


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise ConfigError(
            f"the working folder cannot be used: {why}. Was it deleted? Go to another."
        ) from None


def _is_panic(error: BaseException) -> bool:
    """Whether a library that is written in Rust gave up; its class is of no module that could be imported."""
    return type(error).__name__ == "PanicException"


def _is_of_typer(error: BaseException) -> bool:
    """Whether it is a wrong argument or the wish to end, which typer handles."""
    return type(error).__module__.split(".")[0] in _OF_TYPER


def _make_printable(error: BaseException) -> None:
    """Make the message of a wrong argument, which quotes it, harmless."""
    facts = vars(error)
    if isinstance(facts.get("message"), str):
        facts["message"] = printable(facts["message"])


def _file_error(error: BaseException) -> ConfigError | None:
    """What is wrong with a file that the system refuses, wherever it was first used; not with one that is missing."""
    if not isinstance(error, OSError) or error.errno not in _REFUSALS or error.filename is None:
        return None
    why = os.strerror(error.errno)
    return ConfigError(f"{str(error.filename)!r:.120} cannot be used: {why}. {_REFUSALS[error.errno]}")


def _output_error(error: BaseException) -> WriteError | None:
    """What is wrong with the standard output, if that is why a verb ended.

    Raises:
        BrokenPipeError: A program that read our output, such as `head`, has ended; no message is then due.
    """
    if (
        not isinstance(error, OSError)
        or error.errno is None
        or error.filename is not None
        or sys.stdout is None
    ):
        return None
    # It fails again: what could not be written is still there, or, without a buffer, a line more cannot be either.
    unbuffered = isinstance(sys.stdout, TextIOWrapper) and sys.stdout.write_through
    try:
        sys.stdout.write("\n" if unbuffered else "")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        # The interpreter flushes it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return WriteError("standard output", reason(problem), "Write to another place.")
    return None


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
