"""Answers as plain rows, window by window, as they go into JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.inference.inputs import Input
from hf_mtl.inference.pipeline import MultiTaskPipeline
from hf_mtl.inference.prompts import input_of_text
from hf_mtl.tasks import Kind, TaskForm

__all__ = ["answer_mixed_rows", "answer_rows", "answer_texts"]

Answer = dict[str, Any]  # Any: plain JSON
Windows = Iterable[Sequence[Input]]


def answer_rows(
    pipe: MultiTaskPipeline,
    task: str,
    windows: Windows,
    *,
    max_new_tokens: int,
    progress: bool = False,
    total: int | None = None,
) -> Iterator[list[Answer]]:
    """Answer inputs of one task.

    Args:
        pipe: The tasks' adapters.
        task: The task's name.
        windows: The inputs that are answered together. Their items are what the task's kind takes: rows with the
            columns of its inputs, or texts.
        max_new_tokens: Most tokens of an answer that is written.
        progress: Whether to show a bar.
        total: How many inputs there are, for the bar, if it is known.

    Yields:
        The answers of a window: for each input `prompt` and `prediction`, the text behind it, of a task that writes;
        `input` and `prediction`, the answer in the form that `transformers.pipeline` gives, of any other one.

    Raises:
        ConfigError: If there is no such task.
        DataError: If an input cannot be used; those before it have been answered.
    """
    kind = _form(pipe, task).kind
    options = _known(kind, {"max_new_tokens": max_new_tokens, "return_full_text": False})

    def asked(window: Sequence[Input]) -> list[Input]:
        return [_with_item(one, (task, one.item, options)) for one in window]

    for answered in pipe.by_windows(map(asked, windows), progress=progress, total=total):
        if "max_new_tokens" in kind.options:
            yield [
                {"prompt": own.query.prompt, "prediction": result[0]["generated_text"]}
                for own, result in answered
            ]
        else:
            yield [{"input": own.given, "prediction": result} for own, result in answered]


def answer_texts(
    pipe: MultiTaskPipeline,
    task: str,
    windows: Windows,
    *,
    raw: bool,
    max_new_tokens: int,
    progress: bool = False,
    total: int | None = None,
) -> Iterator[list[Answer]]:
    """Answer texts through one task's template, as `input_of_text` applies it.

    Args:
        pipe: The tasks' adapters.
        task: The task's name.
        windows: The texts that are answered together.
        raw: Whether they are whole prompts.
        max_new_tokens: Most tokens of an answer that is written.
        progress: Whether to show a bar.
        total: How many texts there are, for the bar, if it is known.

    Yields:
        As `answer_rows`.

    Raises:
        ConfigError: If there is no such task, or its template does not take a text.
        DataError: If an input cannot be used; those before it have been answered.
    """
    form = _form(pipe, task)

    def applied(window: Sequence[Input]) -> list[Input]:
        return [replace(one, item=input_of_text(task, form, str(one.item), raw=raw)) for one in window]

    yield from answer_rows(
        pipe, task, map(applied, windows), max_new_tokens=max_new_tokens, progress=progress, total=total
    )


def answer_mixed_rows(
    pipe: MultiTaskPipeline,
    windows: Windows,
    *,
    max_new_tokens: int,
    progress: bool = False,
    total: int | None = None,
) -> Iterator[list[Answer]]:
    """Answer rows of many tasks, in any mix.

    Args:
        pipe: The tasks' adapters.
        windows: The rows that are answered together, each with `task` and `input`, and with `options` if it has any.
        max_new_tokens: Most tokens of an answer that is written, where a row's options do not say.
        progress: Whether to show a bar.
        total: How many rows there are, for the bar, if it is known.

    Yields:
        The answers of a window: for each row `task`, `input` and `prediction`, in order.

    Raises:
        DataError: If a row lacks one of the two, or its input cannot be used; those before it have been answered.
    """

    def asked(window: Sequence[Input]) -> list[Input]:
        return [_with_item(one, _mixed_item(pipe, one, max_new_tokens)) for one in window]

    for answered in pipe.by_windows(map(asked, windows), progress=progress, total=total):
        yield [{"task": own.task.name, "input": own.given, "prediction": result} for own, result in answered]


def _with_item(one: Input, item: object) -> Input:
    """An input as the pipeline takes it; an error in place of a row stays."""
    return one if isinstance(one.item, DataError) else replace(one, item=item)


def _mixed_item(pipe: MultiTaskPipeline, one: Input, max_new_tokens: int) -> object:
    row = one.item
    if isinstance(row, Mapping) and {"task", "input"} <= set(row) <= {"task", "input", "options"}:
        return row["task"], row["input"], _row_options(pipe, row, max_new_tokens)
    found = listing(row) if isinstance(row, Mapping) else f"{row!r:.80}"
    return DataError(
        f"{one.name}: expected 'task' and 'input', and 'options' if there are any, found {found}."
    )


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
