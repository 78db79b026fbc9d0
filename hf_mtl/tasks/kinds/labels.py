"""Labels as rows give them (names or numbers) and as heads want them (numbers)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from hf_mtl.bounds import POSITIVE
from hf_mtl.data import IGNORED
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.tasks.kinds.declared import Declared

__all__ = ["class_weights", "is_missing", "label_number", "label_vector"]


def is_missing(value: object) -> bool:
    """Whether a row says that it has no label: None, or -100 as in torch.

    >>> is_missing(None), is_missing(-100), is_missing(0)
    (True, True, False)
    """
    return value is None or (isinstance(value, int) and value == IGNORED)


def label_number(value: object, declared: Declared, *, what: str) -> int:
    """The number of a label.

    >>> label_number("good", Declared(labels=("bad", "good")), what="label")
    1
    >>> label_number(5, Declared(labels=("1", "5")), what="label")
    1

    Raises:
        DataError: If there is no such label.
    """
    labels, number_of = declared.labels or (), declared.label_numbers
    numbers = f"a number from 0 to {len(labels) - 1}"
    if isinstance(value, bool) and number_of.keys() == {"false", "true"}:
        return number_of[str(value).lower()]
    if isinstance(value, int) and not isinstance(value, bool):
        if declared.numbered_names and str(value) in number_of:
            return number_of[str(value)]
        if 0 <= value < len(labels) and not declared.numbered_names:
            return value
        raise DataError(
            f"the {what} {value} is out of range: expected {_expected(declared)}, for the labels {_shown(labels)} "
            f"(None or {IGNORED} for a row without one).",
            reason="unknown label",
        )
    if isinstance(value, str) and not declared.numbers:
        if value in number_of:
            return number_of[value]
        raise DataError(
            f"the {what} {value!r} is not one of the labels {_shown(labels)}.{did_you_mean(value, labels)}",
            reason="unknown label",
        )
    wanted = numbers if declared.numbers else f"one of {_shown(labels)}, or {numbers}"
    hint = " Declare the labels' names (labels=[...]) to use text." if isinstance(value, str) else ""
    raise DataError(
        f"the {what} is {value!r} ({type(value).__name__}); expected {wanted}.{hint}", reason="unknown label"
    )


def _expected(declared: Declared) -> str:
    labels = declared.labels or ()
    counted = labels == tuple(map(str, range(len(labels))))
    if declared.numbered_names and not counted:
        return "one of these numbers"
    return f"a number from 0 to {len(labels) - 1}"


def label_vector(value: object, declared: Declared, *, what: str) -> list[float]:
    """Which labels a row has: 1, 0, or NaN where that is not known.

    >>> label_vector(["b"], Declared(labels=("a", "b")), what="label")
    [0.0, 1.0]
    >>> label_vector([1.0, None], Declared(labels=("a", "b")), what="label")
    [1.0, nan]

    Raises:
        DataError: If the value is neither a list of labels nor one number (0.0, 1.0, None) or truth value per label.
    """
    labels = declared.labels or ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise DataError(
            f"the {what} is {value!r}; expected a list of labels, or one of 0.0, 1.0 and None for each of "
            f"{_shown(labels)}.",
            reason="unknown label",
        )
    if value and all(each is None or isinstance(each, bool | float) for each in value):
        if len(value) != len(labels):
            raise DataError(
                f"the {what} has {len(value)} values; expected {len(labels)}, for {_shown(labels)}.",
                reason="unknown label",
            )
        vector = [math.nan if each is None else float(each) for each in value]
        if any(each not in (0.0, 1.0) and not math.isnan(each) for each in vector):
            raise DataError(
                f"the {what} is {list(value)!r}; expected only 0.0, 1.0 and None.", reason="unknown label"
            )
        return vector
    found = {label_number(each, declared, what=what) for each in value}
    return [float(number in found) for number in range(len(labels))]


def class_weights(
    weights: Mapping[str, float] | Sequence[float] | None, declared: Declared
) -> tuple[float, ...] | None:
    """One weight per label.

    Raises:
        ConfigError: If they do not fit the labels, or are not above 0.
    """
    if weights is None:
        return None
    labels = declared.labels or ()
    if isinstance(weights, Mapping):
        if set(weights) != set(labels):
            raise ConfigError(
                f"class_weights are for {listing(weights)}; expected one for each of {listing(labels)}."
            )
        weights = [weights[label] for label in labels]
    if len(weights) != len(labels):
        raise ConfigError(f"class_weights has {len(weights)} values; expected {len(labels)}, one per label.")
    if any(POSITIVE.problem(weight) is not None for weight in weights):
        raise ConfigError(f"class_weights must be finite and above 0, found {list(weights)!r}.")
    return tuple(float(weight) for weight in weights)


def _shown(labels: Sequence[str]) -> str:
    """The labels in their own order, the first twenty of many."""
    more = f" and {len(labels) - 20} more" if len(labels) > 20 else ""
    return "[" + ", ".join(map(repr, labels[:20])) + "]" + more
