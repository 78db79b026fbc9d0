"""The parts of a row, by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hf_mtl.data import IGNORED, Example, Row, checked_text, encode_texts, fill_pattern, pattern_fields
from hf_mtl.errors import DataError, did_you_mean, listing
from hf_mtl.tasks.kinds.declared import Role
from hf_mtl.tasks.kinds.kind import Context

__all__ = ["asked_texts", "by_role", "part", "text", "texts", "whole", "words"]


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
            f"Name it with columns={{{role!r}: ...}}.",
            reason="missing column",
        )
    return row[column]


def text(value: object, role: str) -> str:
    """A text that is not empty.

    Raises:
        DataError: If it is.
    """
    if not isinstance(value, str):
        raise DataError(f"the {role} is {value!r} ({type(value).__name__}); expected text.", reason="no text")
    if not value.strip():
        raise DataError(f"the {role} is empty; expected text.", reason="no text")
    return checked_text(value)


def texts(row: Row, roles: Mapping[str, Role], columns: Mapping[str, str]) -> tuple[str, str | None]:
    """A row's `text`, and its `text_pair` where the task uses one.

    Raises:
        DataError: If one is missing or empty.
    """
    first = text(part(row, "text", roles, columns), "text")
    second = part(row, "text_pair", roles, columns)
    return first, None if second is None else text(second, "text_pair")


def by_role(
    given: Mapping[str, object], wanted: Sequence[str], roles: Mapping[str, Role], columns: Mapping[str, str]
) -> dict[str, object]:
    """What an input has for roles: under the columns that the task's rows have, or under the roles' own names.

    >>> roles = {"text": Role("text", template=True), "text_pair": Role("text_pair", required=False)}
    >>> by_role({"sentence": "a", "text_pair": "b"}, ("text", "text_pair"), roles, {"text": "sentence"})
    {'text': 'a', 'text_pair': 'b'}

    Raises:
        DataError: If one that the task uses is under neither.
    """
    found: dict[str, object] = {}
    for role in wanted:
        used = role in columns or roles[role].required
        column = columns.get(role, roles[role].column)
        names = pattern_fields(column) if roles[role].template and "{" in column else (column,)
        if used and all(name in given for name in names):
            found[role] = part(given, role, roles, columns)
        elif role in given:
            found[role] = given[role]
        elif used:
            missing = next(name for name in names if name not in given)
            other = "" if names == (role,) else f", nor {role!r} itself"
            raise DataError(
                f"the input has no {missing!r} for the {role}{other}; it has {listing(map(str, given)) or 'nothing'}."
                f"{did_you_mean(missing, map(str, given))}"
            )
    return found


def asked_texts(given: object, roles: Mapping[str, Role], context: Context) -> tuple[str, str | None]:
    """The text, and the second text of a pair, that an input without a label gives.

    Raises:
        DataError: If the input is not a text, or a pair is needed and not given.
    """
    columns = context.declared.columns
    if isinstance(given, Mapping):
        found = by_role(given, ("text", "text_pair"), roles, columns)
    elif isinstance(given, str):
        found = {"text": given}
    elif isinstance(given, Sequence) and len(given) == 2:
        found = dict(zip(("text", "text_pair"), given, strict=True))
    else:
        raise DataError(
            f"expected a text, a pair of texts, or a dict with {_used(roles, columns)}, found "
            f"{type(given).__name__}: {given!r:.80}"
        )
    second = found.get("text_pair")
    if second is None and "text_pair" in columns:
        raise DataError(f"the task reads pairs of texts, and there is one text only: {given!r:.80}")
    return text(found["text"], "text"), None if second is None else text(second, "text_pair")


def _used(roles: Mapping[str, Role], columns: Mapping[str, str]) -> str:
    """The columns of the task's texts, as messages list them."""
    used = [role for role in ("text", "text_pair") if role in columns or roles[role].required]
    return listing(columns.get(role, roles[role].column) for role in used)


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
        raise DataError(
            f"the {role} are {value!r} ({type(value).__name__}); expected a list of words.", reason="no text"
        )
    if not value:
        raise DataError(f"the {role} are empty; expected at least one word.", reason="no text")
    for i, word in enumerate(value):
        if not isinstance(word, str) or not word.strip():
            raise DataError(
                f"word {i} of the {role} is {word!r}; expected text that is not blank.", reason="no text"
            )
        checked_text(word)
    return list(value)


def tokens_of(context: Context, first: str, second: str | None = None) -> tuple[list[int], list[int], bool]:
    """The tokens of a text or a pair of texts, as the base's own tokenizer makes them.

    Returns:
        Token ids `[S]`; token types `[S]`, empty where all are 0; whether tokens were cut off at the longest part.
    """
    encoded = encode_texts(context.tokenizer, first, second, truncation=False, verbose=False)
    most = context.max_length
    truncated = most is not None and len(encoded["input_ids"]) > most
    if truncated:
        encoded = encode_texts(context.tokenizer, first, second, truncation=True, max_length=most)
    types = list(encoded.get("token_type_ids") or ())
    return list(encoded["input_ids"]), types if any(types) else [], truncated
