"""Answers as plain rows, as they go into JSON lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.inference.pipeline import MultiTaskPipeline
from hf_mtl.inference.prompts import input_of_text
from hf_mtl.tasks import Kind, TaskForm

__all__ = ["answer_mixed_rows", "answer_rows", "answer_texts"]

_MOST_TOLD = 20  # of many bad rows, so many are listed
Answer = dict[str, Any]  # Any: plain JSON


def answer_rows(
    pipe: MultiTaskPipeline,
    task: str,
    inputs: Sequence[object],
    *,
    max_new_tokens: int,
    progress: bool = False,
) -> list[Answer]:
    """Answer inputs of one task.

    Args:
        pipe: The tasks' adapters.
        task: The task's name.
        inputs: What its kind takes: rows with the columns of its inputs, or texts.
        max_new_tokens: Most tokens of an answer that is written.
        progress: Whether to show a bar.

    Returns:
        For each input `prompt` and `prediction`, the text behind it, of a task that writes; `input` and `prediction`,
        the answer in the form that `transformers.pipeline` gives, of any other one.

    Raises:
        ConfigError: If there is no such task.
        DataError: If an input cannot be used.
    """
    kind = _form(pipe, task).kind
    options = _known(kind, {"max_new_tokens": max_new_tokens, "return_full_text": False})
    answers = pipe([(task, given, options) for given in inputs], progress=progress)
    pairs = zip(inputs, answers, strict=True)
    if "max_new_tokens" not in kind.options:
        return [{"input": given, "prediction": answer} for given, answer in pairs]
    return [
        {"prompt": pipe.prompt(task, given), "prediction": answer[0]["generated_text"]}
        for given, answer in pairs
    ]


def answer_texts(
    pipe: MultiTaskPipeline,
    task: str,
    texts: Sequence[str],
    *,
    raw: bool,
    max_new_tokens: int,
    progress: bool = False,
) -> list[Answer]:
    """Answer texts through one task's template, as `input_of_text` applies it.

    Args:
        pipe: The tasks' adapters.
        task: The task's name.
        texts: The texts.
        raw: Whether they are whole prompts.
        max_new_tokens: Most tokens of an answer that is written.
        progress: Whether to show a bar.

    Returns:
        As `answer_rows`.

    Raises:
        ConfigError: If there is no such task, or its template does not take a text.
        DataError: If an input cannot be used.
    """
    form = _form(pipe, task)
    inputs = [input_of_text(task, form, text, raw=raw) for text in texts]
    return answer_rows(pipe, task, inputs, max_new_tokens=max_new_tokens, progress=progress)


def answer_mixed_rows(
    pipe: MultiTaskPipeline,
    rows: Sequence[Mapping[str, Any]],  # Any: plain JSON
    *,
    max_new_tokens: int,
    progress: bool = False,
) -> list[Answer]:
    """Answer rows of many tasks, in any mix.

    Args:
        pipe: The tasks' adapters.
        rows: Each with `task` and `input`, and with `options` if it has any.
        max_new_tokens: Most tokens of an answer that is written, where a row's options do not say.
        progress: Whether to show a bar.

    Returns:
        For each row `task`, `input` and `prediction`, in order.

    Raises:
        DataError: If a row lacks one of the two, or its input cannot be used.
    """
    problems = [
        f"input {number}: expected 'task' and 'input', and 'options' if there are any, found {listing(row)}."
        for number, row in enumerate(rows, start=1)
        if not {"task", "input"} <= set(row) <= {"task", "input", "options"}
    ]
    if problems:
        raise DataError("\n".join(problems[:_MOST_TOLD]))
    items = [(row["task"], row["input"], _row_options(pipe, row, max_new_tokens)) for row in rows]
    answers = pipe(items, progress=progress)
    return [
        {"task": row["task"], "input": row["input"], "prediction": answer}
        for row, answer in zip(rows, answers, strict=True)
    ]


def _form(pipe: MultiTaskPipeline, task: str) -> TaskForm:
    if task not in pipe.forms:
        raise ConfigError(
            f"the model has no task {task!r}.{did_you_mean(task, pipe.forms)} Tasks: {listing(pipe.forms)}."
        )
    return pipe.forms[task]


def _row_options(pipe: MultiTaskPipeline, row: Mapping[str, Any], max_new_tokens: int) -> Any:
    """A row's options; if they are none, the pipeline tells it."""
    form, given = pipe.forms.get(str(row["task"])), row.get("options", {})
    if form is None or not isinstance(given, Mapping):
        return given
    return _known(form.kind, {"max_new_tokens": max_new_tokens}) | dict(given)


def _known(kind: Kind, wanted: Mapping[str, object]) -> dict[str, object]:
    """Those of some options that a kind has."""
    return {name: value for name, value in wanted.items() if name in kind.options}
