"""Tokens of texts, as the tokenizer itself makes them: where each one ends, and which ones end a turn.

A boundary between what is read and what is learned is a place in the text. A token is learned if it holds a
character behind that place and the prompt alone does not hold it already: so a token that the boundary falls into
is learned, for the model must write it itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from hf_mtl.errors import DataError

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

__all__ = [
    "Tokens",
    "added_ids",
    "checked_text",
    "common_start",
    "encode_texts",
    "first_learned",
    "tokens_between",
    "tokens_of",
    "whole_text",
]


@dataclass(frozen=True)
class Tokens:
    """The tokens of a text.

    Args:
        ids: `[S]`.
        ends: The number of characters up to the end of each, `[S]`; None for a tokenizer that does not say.
    """

    ids: list[int]
    ends: list[int] | None


def checked_text(text: str) -> str:
    """A text that is one.

    Raises:
        DataError: If it holds half of a surrogate pair, of which no tokenizer makes tokens.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"the text holds {text[error.start]!r} at character {error.start}, half of a surrogate pair, which is no "
            f"character: it was cut in the middle of one, or read with a wrong encoding. Mend the text.",
            reason="no text",
        ) from None
    return text


def encode_texts(
    tokenizer: PreTrainedTokenizerBase,
    *texts: Any,  # Any: what the tokenizer takes: texts, or lists of words
    **how: Any,  # Any: its options
) -> BatchEncoding:
    """What a tokenizer makes of texts.

    Raises:
        DataError: If it has no token for a part of them, and none for what is unknown.
    """
    try:
        made: BatchEncoding = tokenizer(*texts, **how)
    except Exception as error:
        if type(error) is not Exception:  # tokenizers raises no class of its own
            raise
        shown = ", ".join(f"{text!r:.80}" for text in (*texts, how.get("text_target")) if text)
        raise DataError(
            f"the tokenizer cannot read {shown}: {error}. Its files do not fit together: use the base's own tokenizer, "
            f"as its author saved it, or give it an unknown token.",
            reason="no tokens",
        ) from error
    return made


def tokens_of(text: str, tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """The tokens of a text that has its special tokens already, as a chat template writes it."""
    read = encode_texts(
        tokenizer,
        checked_text(text),
        add_special_tokens=False,
        return_offsets_mapping=tokenizer.is_fast,
        verbose=False,
    )
    ends = [end for _, end in read["offset_mapping"]] if tokenizer.is_fast else None
    return Tokens(list(read["input_ids"]), ends)


def whole_text(text: str, tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """The tokens of a text that begins where a sequence does: with the tokenizer's begin token, without an end token.

    A tokenizer that puts an end token behind every text would end a prompt with it; one that puts a begin token
    before every text would give a text that begins with it a second one.
    """
    read = encode_texts(
        tokenizer,
        checked_text(text),
        return_offsets_mapping=tokenizer.is_fast,
        return_special_tokens_mask=True,
        verbose=False,
    )
    ids, added = list(read["input_ids"]), list(read["special_tokens_mask"])
    last = len(ids) - sum(1 for _ in takewhile(bool, reversed(added)))
    first = sum(1 for _ in takewhile(bool, added[:last]))
    twice = 0 < first < last and ids[first] == ids[first - 1] == tokenizer.bos_token_id
    kept = slice(first if twice else 0, last or first)
    ends = [end for _, end in read["offset_mapping"]][kept] if tokenizer.is_fast else None
    return Tokens(ids[kept], ends)


def added_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens that stand for themselves: special ones and others that were added, but for blanks and the unknown."""
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.content.strip()}
    unknown = {tokenizer.unk_token_id} - {tokenizer.eos_token_id}  # GPT-2 has one token for both
    return frozenset(added | set(tokenizer.all_special_ids)) - unknown


def common_start(one: Sequence[object], other: Sequence[object]) -> int:
    """How many tokens or characters two sequences begin with in common.

    >>> common_start([1, 2, 3], [1, 2, 4, 5])
    2
    """
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def first_learned(tokens: Tokens, prompt_ids: Sequence[int], boundary: int) -> int:
    """The first token of a text that is learned.

    >>> first_learned(Tokens([1, 2, 3], [4, 8, 12]), prompt_ids=[1, 2], boundary=8)
    2
    >>> first_learned(Tokens([1, 7, 3], [4, 8, 12]), prompt_ids=[1, 2, 9], boundary=6)  # 7 spans the boundary
    1

    Args:
        tokens: Prompt and answer together.
        prompt_ids: The tokens of the prompt alone.
        boundary: The characters of the prompt.
    """
    shared = common_start(tokens.ids, prompt_ids)
    if tokens.ends is None:
        return shared
    behind = (i for i, end in enumerate(tokens.ends) if end > boundary)
    return max(shared, next(behind, len(tokens.ids)))


def tokens_between(tokens: Tokens, start: int, end: int) -> tuple[int, int]:
    """The first token that holds a character of a stretch of the text, and the one behind the last.

    >>> tokens_between(Tokens([1, 2, 3, 4], [4, 8, 8, 12]), 4, 8)  # 2 and 3 are the bytes of one character
    (1, 3)

    Args:
        tokens: Of a tokenizer that says where they end.
        start: The stretch's first character.
        end: The one behind its last.
    """
    assert tokens.ends is not None
    ends = tokens.ends
    first = next((i for i, each in enumerate(ends) if each > start), len(ends))
    stop = first
    while stop < len(ends) and (ends[stop] <= end or (ends[stop - 1] if stop else 0) < end):
        stop += 1
    return first, stop if start < end else first
