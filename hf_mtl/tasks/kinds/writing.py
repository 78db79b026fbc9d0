"""Prompts that are to be continued: what an input becomes, and how what is written is returned.

The forms are those of `transformers`' text generation: `[{"generated_text": ...}]`, the prompt with what was written
behind it; for a chat the messages with the answer behind them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_mtl.bounds import POSITIVE, SEED, Bounds
from hf_mtl.data import Chat, Prompt, PromptCompletion, RowTokens
from hf_mtl.errors import DataError
from hf_mtl.tasks.kinds.kind import Context
from hf_mtl.tasks.kinds.query import Option, count, truth

__all__ = ["GENERATION", "WRITING", "prompt_of", "row_tokens", "told"]


def _number(expected: str, bounds: Bounds = POSITIVE) -> Option:
    """A number within bounds, or None."""
    return Option(None, expected, lambda value: bounds.or_none().problem(value) is None)


GENERATION: Mapping[str, Option] = {
    "max_new_tokens": count(32),
    "temperature": _number("a number above 0, or None for the likeliest token"),
    "top_k": count(None, or_none="all tokens"),
    "top_p": _number("a number above 0 and at most 1, or None", Bounds(0, 1, above=True)),
    "repetition_penalty": _number("a number above 0, or None"),
    "seed": Option(0, SEED.expects, lambda value: SEED.problem(value) is None),
    "stop": Option(
        (),
        "a list of texts",
        lambda value: (
            isinstance(value, list | tuple) and all(isinstance(each, str) and each for each in value)
        ),
    ),
}
"""How text is written; by default always the likeliest token."""

WRITING: Mapping[str, Option] = {**GENERATION, "return_full_text": truth(True)}


def row_tokens(context: Context) -> RowTokens:
    """The path from a task's rows to tokens, made once."""
    template, tokenizer = context.declared.template, context.tokenizer
    return context.remembered("row tokens", lambda: RowTokens(template, tokenizer, context.encoder_decoder))


def prompt_of(given: object, context: Context) -> Prompt:
    """What an input asks to be continued.

    Args:
        given: A whole prompt, which is used as it is; a row with the fields of the task's template; or chat messages.
        context: The task on its base.

    Raises:
        DataError: If it is something else, or a field is missing.
    """
    tokens = row_tokens(context)
    if isinstance(given, str):
        prompt = tokens.text_prompt(given)
    elif isinstance(given, Mapping):
        prompt = tokens.prompt(given)
    elif isinstance(given, Sequence) and given and all(isinstance(each, Mapping) for each in given):
        prompt = _chat(given, context)
    else:
        raise DataError(
            f"expected a prompt, a dict with {_fields(context)}, or chat messages, found {type(given).__name__}: "
            f"{given!r:.80}"
        )
    if not prompt.text:
        raise DataError("the prompt is empty; expected text that can be continued.")
    return prompt


def _chat(given: Sequence[Mapping[str, Any]], context: Context) -> Prompt:
    template = context.declared.template
    whole = PromptCompletion("{prompt}", "{completion}")  # of an adapter of which nothing else is known
    if template != whole and not isinstance(template, Chat):
        raise DataError(
            f"the task reads no chat; expected a prompt or a dict with {_fields(context)}, found a list of "
            f"{len(given)} messages."
        )
    conversation = Chat().conversation({"messages": given})
    if conversation.messages[-1]["role"] == "assistant":
        raise DataError(
            "the chat ends with the assistant's own turn, so there is nothing to answer; leave that turn out."
        )
    return row_tokens(context).chat_prompt(conversation)


def _fields(context: Context) -> str:
    template = context.declared.template
    if isinstance(template, PromptCompletion):
        return f"the fields of {template.prompt!r}"
    return repr(template.messages) if isinstance(template, Chat) else "the columns of the task's rows"


def told(prompt: Prompt, text: str, *, full: bool) -> list[dict[str, Any]]:  # Any: a text or messages
    """What was written, in the form of `transformers`' text generation."""
    if not full:
        return [{"generated_text": text}]
    if prompt.messages is not None:
        return [{"generated_text": [*prompt.messages, {"role": "assistant", "content": text}]}]
    return [{"generated_text": prompt.text + text}]
