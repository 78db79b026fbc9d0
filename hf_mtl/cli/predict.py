"""`hf-mtl predict`: let the adapters of one task or of many answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hf_mtl.cli.quiet import be_quiet
from hf_mtl.errors import ConfigError

__all__ = ["predict"]


def predict(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The folder that `train` wrote.", show_default=False)
    ],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The task whose adapter answers; without it, each row of --input names its own.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="JSONL rows with the columns of the task's inputs, or, without --task, with 'task', 'input' and, if "
            "wanted, 'options'; - reads stdin.",
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="A whole text, used as it is, instead of --input. May be repeated."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the JSONL there instead of to stdout.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 32,
) -> None:
    """Answer inputs with the adapter of one task, or of many in one file: JSON lines with inputs and predictions."""
    if (source is None) == (prompt is None):
        raise ConfigError(
            "expected either --input FILE (or - for stdin) or --prompt TEXT, found both or neither."
        )
    if task is None and source is None:
        raise ConfigError("expected --task NAME with --prompt; only rows of --input can name their tasks.")
    be_quiet()
    from hf_mtl.cli.json_lines import read_json_lines, write_json_lines
    from hf_mtl.inference import answer_mixed_rows, answer_rows
    from hf_mtl.recipe.finished import FinishedRun

    pipe, progress = FinishedRun(run).pipeline, sys.stderr.isatty()
    if task is None:
        rows = read_json_lines(str(source))
        answers = answer_mixed_rows(pipe, rows, max_new_tokens=max_new_tokens, progress=progress)
    else:
        inputs = list(prompt or ()) if source is None else read_json_lines(source)
        answers = answer_rows(pipe, task, inputs, max_new_tokens=max_new_tokens, progress=progress)
    write_json_lines(answers, output)
