"""Which numbers a setting takes: one vocabulary for recipes, Python and the command line, and one wording.

A boolean is no number, though Python counts it among the whole ones; numpy's scalars are numbers.

    >>> COUNT.problem(8), COUNT.problem(True)
    (None, 'expected a whole number above 0, found True.')
    >>> POSITIVE.problem(float("nan"))
    'expected a number above 0, found nan.'
    >>> bound_problems({"rank": COUNT, "share": FRACTION}, {"rank": 10**30, "share": 0.5})
    ['rank: expected a whole number above 0 of at most 64 bits, found 1000000000000000000000000000000.']
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import TypeGuard

__all__ = [
    "ANY_NUMBER",
    "COUNT",
    "FRACTION",
    "MOST_WHOLE",
    "NOT_NEGATIVE",
    "POSITIVE",
    "SEED",
    "SHARE",
    "WHOLE",
    "Bounds",
    "bound_problems",
    "impossible",
    "plain",
    "shown",
]

MOST_WHOLE = 2**63 - 1
"""The largest whole number that tensors, files and other programs hold."""

_MOST_DIGITS = 60  # Python refuses to write out whole numbers of some thousand


@dataclass(frozen=True)
class Bounds:
    """The numbers that a setting takes; they are finite, whatever the bounds.

    Args:
        least: The smallest.
        most: The largest.
        whole: Whether they are whole.
        above: Whether `least` itself is left out.
        below: Whether `most` itself is left out.
        also: A value outside that is taken too, such as -1 where it stands for "not given".
        none: Whether None is taken.
    """

    least: float = -math.inf
    most: float = math.inf
    whole: bool = False
    above: bool = False
    below: bool = False
    also: float | None = None
    none: bool = False

    def or_none(self) -> Bounds:
        """The same, and None."""
        return replace(self, none=True)

    def or_also(self, value: float) -> Bounds:
        """The same, and one value outside."""
        return replace(self, also=value)

    @property
    def expects(self) -> str:
        """What it takes, in words.

        >>> Bounds(1, 8, whole=True).expects, SHARE.expects, ANY_NUMBER.expects
        ('a whole number from 1 to 8', 'a number above 0 and below 1', 'a finite number')
        """
        kind = "a whole number" if self.whole else "a number"
        low = f"above {self.least:g}" if self.above else f"of at least {self.least:g}"
        high = f"below {self.most:g}" if self.below else f"at most {_digits(self.most)}"
        if self.least == -math.inf:
            words = (
                f"{kind} {high}"
                if self.most < math.inf
                else ("a whole number" if self.whole else "a finite number")
            )
        elif self.most == math.inf:
            words = f"{kind} {low}"
        elif self.above or self.below:
            words = f"{kind} {low} and {high}"
        else:
            words = f"{kind} from {self.least:g} to {_digits(self.most)}"
        return (
            words + ("" if self.also is None else f", or {self.also:g}") + (", or None" if self.none else "")
        )

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, None if it is one of these numbers."""
        expected = self.missed(value)
        return None if expected is None else f"expected {expected}, found {shown(value)}."

    def missed(self, value: object) -> str | None:
        """What was expected in the place of a value, None if it is one of these numbers."""
        if (value is None and self.none) or (self._is_number(value) and self._holds(value)):
            return None
        too_long = isinstance(value, Integral) and abs(int(value)) > MOST_WHOLE and self.most == math.inf
        return f"{self.expects} of at most 64 bits" if too_long else self.expects

    def _is_number(self, value: object) -> TypeGuard[Real]:
        return isinstance(value, Integral if self.whole else Real) and not isinstance(value, bool)

    def _holds(self, number: Real) -> bool:
        if isinstance(number, Integral) and abs(int(number)) > MOST_WHOLE:
            return False
        value = float(number)
        low = value > self.least if self.above else value >= self.least
        high = value < self.most if self.below else value <= self.most
        return (math.isfinite(value) and low and high) or (self.also is not None and value == self.also)


ANY_NUMBER = Bounds()
POSITIVE = Bounds(0, above=True)
NOT_NEGATIVE = Bounds(0)
FRACTION = Bounds(0, 1, below=True)
SHARE = Bounds(0, 1, above=True, below=True)
COUNT = Bounds(0, whole=True, above=True)
WHOLE = Bounds(0, whole=True)
SEED = Bounds(0, 2**32 - 1, whole=True)
"""Seeds of numpy's generators, which take no larger ones."""


def bound_problems(bounds: Mapping[str, Bounds], values: Mapping[str, object]) -> list[str]:
    """One message for each value that its bounds do not take; values without bounds are not looked at."""
    found = ((name, bounds[name].problem(value)) for name, value in values.items() if name in bounds)
    return [f"{name}: {problem}" for name, problem in found if problem is not None]


def impossible(value: object) -> str | None:
    """Why a value is a number that no setting takes; None for numbers that some do, and for all else.

    >>> impossible(float("inf")), impossible(3), impossible("inf")
    ('expected a finite number, found inf.', None, None)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return ANY_NUMBER.problem(value)


def plain(value: object) -> object:
    """A numpy scalar as the number of Python that it is, which JSON and other programs take; all else as it is."""
    if type(value) in (bool, int, float):  # numpy's float64 is also one of Python's
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def shown(value: object) -> str:
    """A value as messages write it, cut where it is long.

    >>> shown(10**5000)
    'a number of 5001 digits'
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and abs(int(value)) >= 10**_MOST_DIGITS:
        return f"a number of {_count_of_digits(abs(int(value)))} digits"
    text = str(value) if isinstance(value, Real) and not isinstance(value, bool) else repr(value)
    return text if len(text) <= _MOST_DIGITS else f"{text[: _MOST_DIGITS - 3]}..."


def _count_of_digits(number: int) -> int:
    about = int(number.bit_length() * math.log10(2))
    return about + 1 if number >= 10**about else about


def _digits(number: float) -> str:
    """A bound, whole ones with all their digits."""
    return str(int(number)) if math.isfinite(number) and number == int(number) else f"{number:g}"
