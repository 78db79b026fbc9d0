"""The options of named metrics: what each accepts, so that a wrong one is reported when the task is declared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from hf_mtl.bounds import Bounds, impossible

__all__ = ["Option", "flag", "number", "one_of", "per_row_weights", "sequence_of"]


@dataclass(frozen=True)
class Option:
    """One option of a metric.

    Args:
        default: What counts where the user says nothing.
        expects: What it accepts, in words.
        accepts: Whether a value is one of these.
    """

    default: object
    expects: str
    accepts: Callable[[object], bool]


def one_of(default: object, *choices: object) -> Option:
    """An option that is one of a few values.

    >>> one_of("binary", "binary", "macro").expects
    "one of 'binary', 'macro'"
    """
    listed = ", ".join(repr(choice) for choice in choices)
    return Option(
        default,
        f"one of {listed}",
        lambda value: isinstance(value, str | None) and value in (default, *choices),
    )


def flag(default: bool = False) -> Option:
    """An option that is true or false."""
    return Option(default, "true or false", lambda value: isinstance(value, bool))


def number(default: float | None, *, least: float, most: float = float("inf"), whole: bool = False) -> Option:
    """A number within bounds, both allowed.

    >>> number(6, least=1, whole=True).expects
    'a whole number of at least 1'
    """
    kind = "a whole number" if whole else "a number"
    bounds = f"of at least {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
    within = Bounds(least, most, whole=whole, none=default is None)
    return Option(default, f"{kind} {bounds}", lambda value: within.problem(value) is None)


def sequence_of(
    kind: type[int] | type[str], default: Sequence[object] | None, *, pattern: str = ""
) -> Option:
    """A list of at least one whole number or text; a text matches `pattern`, if there is one."""
    words = "whole numbers" if kind is int else "texts" + (f" that match {pattern}" if pattern else "")

    def accepts(value: object) -> bool:
        if value is None:
            return default is None
        return (
            isinstance(value, list | tuple)
            and len(value) > 0
            and all(isinstance(item, kind) and not isinstance(item, bool) for item in value)
            and not any(map(impossible, value))
            and (not pattern or all(re.fullmatch(pattern, item) for item in value))
        )

    return Option(default, f"a list of {words}", accepts)


def per_row_weights() -> Option:
    """Weights of the rows, none of them negative, in the order of the rows."""

    def accepts(value: object) -> bool:
        if value is None:
            return True
        weights = np.asarray(value) if isinstance(value, list | tuple | np.ndarray) else np.array("")
        return (
            weights.ndim == 1
            and weights.dtype.kind in "biuf"
            and bool(((weights >= 0) & np.isfinite(weights)).all())
        )

    return Option(None, "one weight per row, none negative", accepts)
