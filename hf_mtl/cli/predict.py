"""`hf-mtl predict`: let the adapters of one task or of many answer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hf_mtl.bounds import COUNT
from hf_mtl.cli.completion import run_tasks
from hf_mtl.cli.options import within
from hf_mtl.cli.quiet import be_quiet
from hf_mtl.errors import ConfigError
from hf_mtl.files import check_target

if TYPE_CHECKING:
    from hf_mtl.cli.json_lines import Inputs
    from hf_mtl.inference import Input, MultiTaskPipeline

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
    max_new_tokens: Annotated[
        int, typer.Option(callback=within(COUNT), help="Longest answer, in tokens.")
    ] = 32,
) -> None:
    """Answer inputs with the adapter of one task, or of many in one file: JSON lines with inputs and predictions.

    Inputs are read and answered some at a time. A call with --output that was stopped goes on behind its last answer
    when it is given again.
    """
    _check_sources(task, source, prompt, raw=raw)
    if output is not None:
        check_target(output, named_by="--output")
    be_quiet()
    from hf_mtl.cli.answers import answers_to
    from hf_mtl.cli.json_lines import JsonLines, Texts
    from hf_mtl.recipe.finished import FinishedRun

    inputs: Inputs = Texts(prompt or []) if source is None else JsonLines(source)
    finished = FinishedRun(run)
    call = {"task": task, "raw": raw, "max_new_tokens": max_new_tokens, "prompts": source is None}
    sink = answers_to(output, lambda: {"adapters": finished.digest, **call})
    with sink.writing(inputs):
        windows = sink.windows()
        for answers in _answers(finished.pipeline, task, inputs, windows, raw=raw, most=max_new_tokens):
            sink.write(answers)


def _answers(
    pipe: MultiTaskPipeline,
    task: str | None,
    inputs: Inputs,
    windows: Iterator[list[Input]],
    *,
    raw: bool,
    most: int,
) -> Iterator[list[dict[str, Any]]]:  # Any: plain JSON
    from hf_mtl.cli.json_lines import Texts
    from hf_mtl.inference import answer_mixed_rows, answer_rows, answer_texts

    progress = sys.stderr.isatty()
    total = inputs.total if progress else None
    if task is None:
        return answer_mixed_rows(pipe, windows, max_new_tokens=most, progress=progress, total=total)
    if isinstance(inputs, Texts):
        return answer_texts(pipe, task, windows, raw=raw, max_new_tokens=most, progress=progress, total=total)
    return answer_rows(pipe, task, windows, max_new_tokens=most, progress=progress, total=total)


def _check_sources(task: str | None, source: str | None, prompt: list[str] | None, *, raw: bool) -> None:
    if (source is None) == (prompt is None):
        raise ConfigError(
            "expected either --input FILE (or - for stdin) or --prompt TEXT, found both or neither."
        )
    if task is None and source is None:
        raise ConfigError("expected --task NAME with --prompt; only rows of --input can name their tasks.")
    if raw and prompt is None:
        raise ConfigError("--raw is for --prompt TEXT; rows of --input go through the task's template.")
