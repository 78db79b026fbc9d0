"""The forms in which predictions and references reach a metric, and the checks of each.

A kind of task offers some forms, a metric takes one; both sides have one entry per row.

    >>> sorted(FORMS)
    ['answers', 'labels', 'likelihoods', 'scores', 'tags', 'texts', 'tokens', 'values']
    >>> labels_of([2, 0, 1], "predictions").tolist()
    [2, 0, 1]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hf_mtl.errors import DataError

__all__ = [
    "FORMS",
    "FloatArray",
    "Form",
    "IntArray",
    "Rows",
    "floats_of",
    "labels_of",
    "likelihoods_of",
    "tags_of",
    "texts_lists_of",
    "texts_of",
    "token_counts_of",
]

Form: TypeAlias = Literal["labels", "scores", "values", "tags", "answers", "texts", "likelihoods", "tokens"]
Rows: TypeAlias = Sequence[object] | NDArray[np.generic]
FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]

FORMS: Mapping[Form, str] = MappingProxyType(
    {
        "labels": "class numbers `[rows]`; several labels a row: zeros and ones `[rows, classes]`",
        "scores": "class probabilities `[rows, classes]`, or one score per row `[rows]`; references are labels",
        "values": "numbers `[rows]` or `[rows, values]`",
        "tags": "one list of tags per row, such as `['B-PER', 'O']`",
        "answers": "SQuAD's dictionaries: `{'id', 'prediction_text', 'no_answer_probability'}` for predictions, "
        "`{'id', 'answers': {'text': [...]}}` for references",
        "texts": "one text per row; a reference may also be a list of texts that are all right",
        "likelihoods": "per row the summed negative log-likelihood of the reference in nats, and its number of tokens; "
        "references are not looked at",
        "tokens": "per row the number of learned tokens that are the most likely ones after the reference before them, "
        "and the number of all learned tokens; references are not looked at",
    }
)


def labels_of(rows: Rows, side: str) -> IntArray:
    """Class numbers `[N]`, or zeros and ones `[N, C]`.

    Args:
        rows: One class number, or one line of zeros and ones, per row.
        side: `predictions` or `references`, for messages.

    Raises:
        DataError: If they are anything else, or of unlike lengths.
    """
    array = _array(rows, side, "a class number, or a line of zeros and ones")
    if array.dtype.kind not in "biu" or array.ndim not in (1, 2):
        raise DataError(
            f"{side} must be class numbers [rows] or zeros and ones [rows, classes], found {_described(array)}. "
            "Scores and texts go to metrics of other forms."
        )
    numbers = array.astype(np.int64)
    if numbers.ndim == 2 and not np.isin(numbers, (0, 1)).all():
        row = int(np.flatnonzero(~np.isin(numbers, (0, 1)).all(axis=1))[0])
        raise DataError(
            f"{side} row {row}: a line of several labels holds zeros and ones, found {numbers[row].tolist()}."
        )
    return numbers


def floats_of(rows: Rows, side: str) -> FloatArray:
    """Values or scores as floats, `[N]` or `[N, D]`; a column of one value counts as `[N]`.

    Args:
        rows: A number or a line of numbers per row. NaN stays, and makes the metric NaN.
        side: `predictions` or `references`, for messages.

    Raises:
        DataError: If they are not numbers, or of unlike lengths.
    """
    array = _array(rows, side, "a number, or a line of numbers")
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
        raise DataError(f"{side} must be numbers [rows] or [rows, values], found {_described(array)}.")
    numbers = array.astype(np.float64)
    return numbers[:, 0] if numbers.ndim == 2 and numbers.shape[1] == 1 else numbers


def texts_of(rows: Rows, side: str) -> list[str]:
    """One text per row.

    Raises:
        DataError: At the first row that is not a text.
    """
    return [_text(row, f"{side} row {number}") for number, row in enumerate(rows)]


def texts_lists_of(rows: Rows, side: str) -> list[list[str]]:
    """The right texts of each row, at least one.

    Raises:
        DataError: At the first row that is neither a text nor a list of texts.
    """
    lists: list[list[str]] = []
    for number, row in enumerate(rows):
        where = f"{side} row {number}"
        several = isinstance(row, list | tuple)
        lists.append(
            [_text(text, where) for text in row] if isinstance(row, list | tuple) else [_text(row, where)]
        )
        if several and not lists[-1]:
            raise DataError(f"{where}: expected at least one text, found an empty list.")
    return lists


def tags_of(rows: Rows, side: str) -> list[list[str]]:
    """The tags of each row.

    Raises:
        DataError: At the first row that is not a list of texts.
    """
    tags = []
    for number, row in enumerate(rows):
        if not isinstance(row, list | tuple | np.ndarray) or not all(isinstance(tag, str) for tag in row):
            raise DataError(
                f"{side} row {number}: expected a list of tags such as ['B-PER', 'O'], found {row!r}."
            )
        tags.append([str(tag) for tag in row])
    return tags


def likelihoods_of(rows: Rows) -> FloatArray:
    """Per row the summed negative log-likelihood and the number of tokens, `[N, 2]`.

    Raises:
        DataError: If they are anything else, or a row has no token.
    """
    return _with_token_counts(rows, "summed negative log-likelihood in nats")


def token_counts_of(rows: Rows) -> FloatArray:
    """Per row the number of tokens that are right and that of all, `[N, 2]`.

    Raises:
        DataError: If they are anything else, or a row has no token.
    """
    return _with_token_counts(rows, "number of tokens that are right")


def _with_token_counts(rows: Rows, what: str) -> FloatArray:
    pairs = floats_of(rows, "predictions")
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise DataError(f"predictions must be pairs ({what}, number of tokens), found {_described(pairs)}.")
    if not (pairs[:, 1] > 0).all():
        row = int(np.flatnonzero(~(pairs[:, 1] > 0))[0])
        raise DataError(f"predictions row {row}: expected at least one token, found {pairs[row, 1]:g}.")
    return pairs


def _array(rows: Rows, side: str, expected: str) -> NDArray[np.generic]:
    lengths = [len(row) if isinstance(row, list | tuple | np.ndarray) else None for row in rows]
    for row, length in enumerate(lengths):
        if length != lengths[0]:
            raise DataError(
                f"{side} row {row}: expected {expected}, alike in all rows, found {rows[row]!r} after {rows[0]!r}."
            )
    return np.asarray(rows)


def _described(array: NDArray[np.generic]) -> str:
    return f"{array.dtype.name} {list(array.shape)} starting with {array[:1].tolist()[0]!r}"


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: expected a text, found {value!r} of type {type(value).__name__}.")
    return value
