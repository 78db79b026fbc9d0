"""The verbs put together, and what happens to an error on its way to the terminal."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
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
from hf_mtl.cli.version import show_versions
from hf_mtl.errors import HfMtlError

__all__ = ["app", "main"]

_INTERRUPTED = 130  # 128 + SIGINT, what shells expect
_FAILED = 2


class _Program(TyperGroup):
    """Prints the library's own errors without a traceback; all others are bugs and keep theirs."""

    def invoke(self, ctx: Any) -> Any:  # Any: typer's context class is not public in every version
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            Console(stderr=True).print("Interrupted.", style="yellow")
            raise typer.Exit(_INTERRUPTED) from None
        except HfMtlError as error:
            if ctx.params["traceback"]:
                raise
            Console(stderr=True).print(Text(f"{type(error).__name__}: {error}", style="red"), soft_wrap=True)
            raise typer.Exit(_FAILED) from None


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
    app(prog_name="hf-mtl")
