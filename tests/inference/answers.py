"""What the tests of answers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from kind_cases import KINDS

__all__ = ["TAGGED", "assert_same"]

TAGGED = replace(KINDS["tags"], task={"labels": ["O", "B-PER", "I-PER"]})


def assert_same(actual: Any, expected: Any) -> None:
    """Equal, numbers to 1e-5 of 1."""
    if isinstance(expected, Mapping):
        assert actual.keys() == expected.keys()
        for key in expected:
            assert_same(actual[key], expected[key])
    elif isinstance(expected, list):
        assert isinstance(actual, list) and len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other)
    elif isinstance(actual, float):
        assert actual == pytest.approx(float(expected), abs=1e-5)
    else:
        assert actual == expected
