"""Token ids that a base's embedding has no row for.

>>> unknown_token([5, 340, 7], vocabulary=340)
"has the token 340, and the base's vocabulary ends at 339"
>>> unknown_token([5, 7], vocabulary=340) is None
True
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["BEYOND_VOCABULARY", "unknown_token"]

BEYOND_VOCABULARY = (
    "The tokenizer and the base do not belong together: use the base's own tokenizer, or, if tokens were added to it, "
    "base.resize_token_embeddings(len(tokenizer)) before anything else is made of the base (the new rows are random "
    "and stay frozen)."
)
"""The way out."""


def unknown_token(
    ids: Iterable[int], vocabulary: int | None, tokenizer: PreTrainedTokenizerBase | None = None
) -> str | None:
    """What is wrong with the first token id that the base does not have; None if it has all.

    Args:
        ids: Token ids.
        vocabulary: The rows of the base's embedding; None if it is not known.
        tokenizer: Names the token.
    """
    if vocabulary is None:
        return None
    odd = next((token for token in ids if not 0 <= token < vocabulary), None)
    if odd is None:
        return None
    known = tokenizer is not None and 0 <= odd < len(tokenizer)
    named = f" ({tokenizer.convert_ids_to_tokens(odd)!r})" if tokenizer is not None and known else ""
    return f"has the token {odd}{named}, and the base's vocabulary ends at {vocabulary - 1}"
