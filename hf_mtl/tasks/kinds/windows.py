"""A question and its context as windows of tokens, and where in them an answer begins and ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hf_mtl.data import encode_texts
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.tasks.kinds.kind import Context

__all__ = ["MOST_TOKENS", "Window", "borders", "null_place", "windows"]

MOST_TOKENS = 384  # of a window, where neither the task nor the base says less
_CONTEXT = 1  # the number of the second text of a pair


class Window(NamedTuple):
    """Tokens of one window.

    Args:
        input_ids: Token ids `[S]`.
        types: Token types `[S]`; empty if all are 0.
        offsets: The context's characters of each, (-1, -1) for what is not context.
        words: The number of the word that each belongs to, in the tokenizer's own sense.
    """

    input_ids: list[int]
    types: list[int]
    offsets: list[tuple[int, int]]
    words: list[int | None]


def windows(question: str, body: str, context: Context, *, stride: int) -> Iterator[Window]:
    """The windows of a context, each behind the question.

    Args:
        question: The question.
        body: The context that is read.
        context: The task on its base.
        stride: Tokens of the context that two windows share.

    Raises:
        ConfigError: If the tokenizer does not tell the characters of its tokens.
        DataError: If the question leaves no room for the context.
    """
    tokenizer = context.tokenizer
    if not tokenizer.is_fast:
        raise ConfigError(
            f"question-answering needs a fast tokenizer (for the characters of its tokens); "
            f"{type(tokenizer).__name__} is a slow one."
        )
    end = _end(context)
    most = min(n for n in (context.declared.max_length or MOST_TOKENS, context.longest) if n is not None)
    most -= len(end)
    # Without a token between the texts of a pair, the last word of the question would touch the context.
    gap = "" if tokenizer.sep_token_id is not None else "\n"
    asked = len(encode_texts(tokenizer, question + gap, "", verbose=False)["input_ids"])
    if most - asked <= stride:
        raise DataError(
            f"the question has {asked} tokens, which leaves {max(0, most - asked)} of a window of "
            f"{most + len(end)} for the "
            f"context; expected more than doc_stride={stride}. Raise max_length or lower doc_stride.",
            reason="over-long prompt",
        )
    encoded = encode_texts(
        tokenizer,
        question + gap,
        body,
        truncation="only_second",
        max_length=most,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    types: Any = encoded.get("token_type_ids") or [[]] * len(encoded["input_ids"])  # Any: lists of numbers
    for i, input_ids in enumerate(encoded["input_ids"]):
        offsets = [
            (span[0], span[1]) if text_number == _CONTEXT else (-1, -1)
            for span, text_number in zip(encoded["offset_mapping"][i], encoded.sequence_ids(i), strict=True)
        ]
        typed = [*types[i], *(0 for _ in end)] if any(types[i]) else []
        own = [*encoded.word_ids(i), *(None for _ in end)]
        yield Window([*input_ids, *end], typed, [*offsets, *((-1, -1) for _ in end)], own)


def _end(context: Context) -> list[int]:
    """The end token, where the tokenizer itself puts none behind a pair of texts.

    Without one, "no answer" would stand at the context's own last token, and would look like an answer there.

    Raises:
        ConfigError: If there is no such token.
    """
    tokenizer = context.tokenizer
    if tokenizer("?", "?").sequence_ids(0)[-1] != _CONTEXT:
        return []
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            "the tokenizer has no end token (eos_token), at which the base could say that a window holds no answer. "
            "Set one."
        )
    return [tokenizer.eos_token_id]


def null_place(window: Window, context: Context) -> int:
    """The token of a window that says "no answer": the place of the base for a whole text."""
    return context.places(len(window.input_ids))[0]


def borders(window: Window, answers: Sequence[tuple[str, int]], context: Context) -> list[float]:
    """First and last token of the first answer in a window, or twice the place that says that there is none.

    Args:
        window: The window.
        answers: Each answer's text and first character in the context.
        context: The task on its base.
    """
    null = float(null_place(window, context))
    if not answers:
        return [null, null]
    answer, start = answers[0]
    stop = start + len(answer)
    inside = [
        place
        for place, (first, last) in enumerate(window.offsets)
        if first >= 0 and first < stop and last > start
    ]
    whole = inside and window.offsets[inside[0]][0] <= start and window.offsets[inside[-1]][1] >= stop
    return [float(inside[0]), float(inside[-1])] if whole else [null, null]
