"""Tokens of a row: what goes into the model and which tokens carry a loss.

The pieces of a row are tokenised one by one, so that the border between what is read and what is learned
falls between two tokens by construction, and a prompt has the same tokens in training as it has alone, when
the model is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_mtl.data.templates import Rendered, Row
from hf_mtl.errors import ConfigError, DataError

__all__ = ["IGNORED", "Encoded", "encode_rendered", "encode_rows"]

IGNORED = -100  # the label of a token without a loss, as in torch and transformers


@dataclass(frozen=True)
class Encoded:
    """One example's tokens.

    Args:
        input_ids: Token ids `[S]`.
        labels: For each token its own id where it is learned, else `IGNORED`; `[S]`, not shifted.
        truncated: Whether tokens were cut off at the end.
    """

    input_ids: list[int]
    labels: list[int]
    truncated: bool


def _leading_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The begin token, for those tokenizers that put one before every text."""
    around_nothing = list(tokenizer("")["input_ids"])
    begins = tokenizer.bos_token_id is not None and around_nothing[:1] == [tokenizer.bos_token_id]
    return around_nothing[:1] if begins else []


def encode_rendered(
    rendered: Rendered, tokenizer: PreTrainedTokenizerBase, *, max_length: int | None = None
) -> Encoded:
    """Tokenise one rendered row.

    Args:
        rendered: The row's pieces; the learned ones carry the loss, and so does the end token that is added
            to them.
        tokenizer: The base's tokenizer.
        max_length: Tokens kept, counted from the start; None keeps all.

    Raises:
        DataError: If nothing is left to learn: an empty completion, or one that lies behind `max_length`.
        ConfigError: If the tokenizer has no end token.
    """
    input_ids = _leading_ids(tokenizer) if rendered.special_tokens else []
    labels = [IGNORED] * len(input_ids)
    for piece in rendered.pieces:
        ids = list(tokenizer(piece.text, add_special_tokens=False)["input_ids"])
        if piece.learned and not ids:
            raise DataError(
                f"the completion {piece.text!r} becomes no token at all, so there is nothing to learn."
            )
        input_ids += ids
        labels += ids if piece.learned else [IGNORED] * len(ids)
    if rendered.special_tokens:
        if tokenizer.eos_token_id is None:
            raise ConfigError(
                "The tokenizer has no end token (eos_token); completions could never end. Set one."
            )
        input_ids.append(tokenizer.eos_token_id)
        labels.append(tokenizer.eos_token_id)
    return _cut(input_ids, labels, max_length)


def _cut(input_ids: list[int], labels: list[int], max_length: int | None) -> Encoded:
    kept = labels if max_length is None else labels[:max_length]
    if all(label == IGNORED for label in kept[1:]):
        if len(kept) == len(labels):
            raise DataError(
                "the prompt is empty, so there is no token from which the completion could be predicted."
            )
        raise DataError(
            f"the row has {len(input_ids)} tokens, and all that are learned lie behind max_length={max_length}. "
            f"Raise max_length or shorten the prompt."
        )
    return Encoded(input_ids[: len(kept)], kept, truncated=len(kept) < len(labels))


def encode_rows(rows: Dataset, encode: Callable[[Row], Encoded], *, where: str) -> Dataset:
    """Encode every row of a data set, once; `datasets` caches the result where the rows come from a file.

    Args:
        rows: The raw rows.
        encode: Turns one row into tokens.
        where: What the messages call this data set, for example `task 'sentiment', train`.

    Returns:
        A data set with the columns `input_ids`, `labels` and `truncated`, in the same order.

    Raises:
        DataError: With the row's number, if a row cannot be used.
    """

    def encoded(row: Row, index: int) -> dict[str, object]:
        try:
            result = encode(row)
        except DataError as error:
            raise DataError(f"{where}, row {index}: {error}") from error
        return {"input_ids": result.input_ids, "labels": result.labels, "truncated": result.truncated}

    if len(rows) == 0:
        raise DataError(f"{where}: the data set is empty; at least one row is needed.")
    return rows.map(encoded, with_indices=True, remove_columns=rows.column_names)
