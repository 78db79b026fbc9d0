"""`hf-mtl predict`: let a task's adapter answer."""

from __future__ import annotations

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
        str, typer.Option(metavar="NAME", help="The task whose adapter answers.", show_default=False)
    ],
    source: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="FILE", help="JSONL rows with the fields of the task's prompt; - reads stdin."
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT", help="A whole prompt, used as it is, instead of --input. May be repeated."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the JSONL there instead of to stdout.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 32,
) -> None:
    """Answer prompts with the adapter of one task: JSON lines with the prompt and the prediction."""
    if (source is None) == (prompt is None):
        raise ConfigError(
            "expected either --input FILE (or - for stdin) or --prompt TEXT, found both or neither."
        )
    be_quiet()
    from hf_mtl.cli.json_lines import read_json_lines, write_json_lines
    from hf_mtl.recipe.finished import FinishedRun

    finished = FinishedRun(run)
    prompts = list(prompt or ()) if source is None else finished.prompts(task, read_json_lines(source))
    answers = finished.predict(task, prompts, max_new_tokens=max_new_tokens)
    rows = [{"prompt": text, "prediction": answer} for text, answer in zip(prompts, answers, strict=True)]
    write_json_lines(rows, output)
