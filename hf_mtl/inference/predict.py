"""Answers of a task's adapter to rows or prompts."""

from __future__ import annotations

from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase

from hf_mtl.data import Row
from hf_mtl.models import RoutedModel, context_of, generate
from hf_mtl.tasks import Task, prompt_text

__all__ = ["predict"]


def predict(
    model: RoutedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    rows: Iterable[Row],
    *,
    max_new_tokens: int = 32,
) -> list[str]:
    """Answer rows with a task's own template and adapter, greedily.

    Args:
        model: The routed model; it has an adapter of the task's name.
        tokenizer: The base's tokenizer.
        task: Says how a row becomes a prompt.
        rows: Rows with the prompt's fields.
        max_new_tokens: Most tokens of an answer.

    Returns:
        One text per row.
    """
    context = context_of(model, task, tokenizer)
    prompts = [prompt_text(row, context) for row in rows]
    return generate(model, tokenizer, task.name, prompts, max_new_tokens=max_new_tokens)
