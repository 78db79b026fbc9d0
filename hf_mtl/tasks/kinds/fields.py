"""The parts of a row, by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transformers import BatchEncoding

from hf_mtl.data import IGNORED, Example, Row, fill_pattern
from hf_mtl.errors import DataError, did_you_mean, listing
from hf_mtl.tasks.kinds.kind import Context, Role

__all__ = ["part", "text", "texts", "whole", "words"]


def part(row: Row, role: str, roles: Mapping[str, Role], columns: Mapping[str, str]) -> object:
    """What a row has for a role; None for an optional role that the task does not use.

    Raises:
        DataError: If the column is not there.
    """
    if role not in columns and not roles[role].required:
        return None
    column = columns.get(role, roles[role].column)
    if roles[role].template and "{" in column:
        return fill_pattern(column, row)
    if column not in row:
        raise DataError(
            f"there is no column {column!r} for the {role}; this row has {listing(row)}.{did_you_mean(column, row)} "
            f"Name it with columns={{{role!r}: ...}}."
        )
    return row[column]


def text(value: object, role: str) -> str:
    """A text that is not empty.

    Raises:
        DataError: If it is.
    """
    if not isinstance(value, str):
        raise DataError(f"the {role} is {value!r} ({type(value).__name__}); expected text.")
    if not value.strip():
        raise DataError(f"the {role} is empty; expected text.")
    return value


def texts(row: Row, roles: Mapping[str, Role], columns: Mapping[str, str]) -> tuple[str, str | None]:
    """A row's `text`, and its `text_pair` where the task uses one.

    Raises:
        DataError: If one is missing or empty.
    """
    first = text(part(row, "text", roles, columns), "text")
    second = part(row, "text_pair", roles, columns)
    return first, None if second is None else text(second, "text_pair")


def whole(context: Context, first: str, second: str | None, targets: list[float], weight: float) -> Example:
    """A text or a pair of texts that a head on sequences reads, with what it is to give."""
    input_ids, types, truncated = tokens_of(context, first, second)
    places = context.places(len(input_ids))
    return Example(input_ids, places, [IGNORED] * len(places), targets, weight, types, truncated)


def words(value: object, role: str) -> list[str]:
    """A list of words, none of them empty.

    Raises:
        DataError: If it is something else.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise DataError(f"the {role} are {value!r} ({type(value).__name__}); expected a list of words.")
    if not value:
        raise DataError(f"the {role} are empty; expected at least one word.")
    for i, word in enumerate(value):
        if not isinstance(word, str) or not word.strip():
            raise DataError(f"word {i} of the {role} is {word!r}; expected text that is not blank.")
    return list(value)


def tokens_of(context: Context, first: str, second: str | None = None) -> tuple[list[int], list[int], bool]:
    """The tokens of a text or a pair of texts, as the base's own tokenizer makes them.

    Returns:
        Token ids `[S]`; token types `[S]`, empty where all are 0; whether tokens were cut off at the longest part.
    """
    encoded: BatchEncoding = context.tokenizer(first, second, truncation=False, verbose=False)
    most = context.max_length
    truncated = most is not None and len(encoded["input_ids"]) > most
    if truncated:
        encoded = context.tokenizer(first, second, truncation=True, max_length=most)
    types = list(encoded.get("token_type_ids") or ())
    return list(encoded["input_ids"]), types if any(types) else [], truncated
