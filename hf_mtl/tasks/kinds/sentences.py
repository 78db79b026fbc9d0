"""A sentence as tokens that know their characters."""

from __future__ import annotations

from typing import NamedTuple

from hf_mtl.data import encode_texts
from hf_mtl.errors import ConfigError
from hf_mtl.tasks.kinds.kind import Context

__all__ = ["Sentence", "sentence_of"]


class Sentence(NamedTuple):
    """A sentence's tokens.

    Args:
        text: The sentence.
        input_ids: Token ids `[S]`.
        offsets: The characters of each token; empty spans for special ones.
        special: Which tokens are none of the text's.
        truncated: Whether any were cut off.
    """

    text: str
    input_ids: list[int]
    offsets: list[tuple[int, int]]
    special: list[bool]
    truncated: bool


def sentence_of(text: str, context: Context) -> Sentence:
    """Tokenise a sentence, and cut it at the most tokens that the task and the base take.

    Raises:
        ConfigError: If the tokenizer does not tell the characters of its tokens.
    """
    tokenizer = context.tokenizer
    if not tokenizer.is_fast:
        raise ConfigError(
            f"token-classification needs a fast tokenizer (for the characters of its tokens); "
            f"{type(tokenizer).__name__} is a slow one."
        )
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    encoded = encode_texts(tokenizer, text, truncation=False, verbose=False, **options)
    most = context.max_length
    truncated = most is not None and len(encoded["input_ids"]) > most
    if truncated:
        encoded = encode_texts(tokenizer, text, truncation=True, max_length=most, **options)
    special = [bool(each) for each in encoded["special_tokens_mask"]]
    offsets = [(start, stop) for start, stop in encoded["offset_mapping"]]
    return Sentence(text, list(encoded["input_ids"]), offsets, special, truncated)
