"""`hf-mtl predict`: let the adapters of one task or of many answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hf_mtl.cli.completion import run_tasks
from hf_mtl.cli.outputs import expect_file
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
            autocompletion=run_tasks,
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
            metavar="TEXT",
            help="Instead of --input: what the task reads, put into its template; in a chat, the user's message. May "
            "be repeated.",
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Each --prompt is the whole prompt, continued as it is.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the JSONL there instead of to stdout.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 32,
) -> None:
    """Answer inputs with the adapter of one task, or of many in one file: JSON lines with inputs and predictions."""
    _check_sources(task, source, prompt, raw=raw)
    if output is not None:
        expect_file(output)
    be_quiet()
    from hf_mtl.cli.json_lines import read_json_lines, write_json_lines
    from hf_mtl.inference import answer_mixed_rows, answer_rows, answer_texts
    from hf_mtl.recipe.finished import FinishedRun

    pipe, progress = FinishedRun(run).pipeline, sys.stderr.isatty()
    if task is None:
        rows = read_json_lines(str(source))
        answers = answer_mixed_rows(pipe, rows, max_new_tokens=max_new_tokens, progress=progress)
    elif source is None:
        texts = prompt or ()
        answers = answer_texts(pipe, task, texts, raw=raw, max_new_tokens=max_new_tokens, progress=progress)
    else:
        rows = read_json_lines(source)
        answers = answer_rows(pipe, task, rows, max_new_tokens=max_new_tokens, progress=progress)
    write_json_lines(answers, output)


def _check_sources(task: str | None, source: str | None, prompt: list[str] | None, *, raw: bool) -> None:
    if (source is None) == (prompt is None):
        raise ConfigError(
            "expected either --input FILE (or - for stdin) or --prompt TEXT, found both or neither."
        )
    if task is None and source is None:
        raise ConfigError("expected --task NAME with --prompt; only rows of --input can name their tasks.")
    if raw and prompt is None:
        raise ConfigError("--raw is for --prompt TEXT; rows of --input go through the task's template.")
