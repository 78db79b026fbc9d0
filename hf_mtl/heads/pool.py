"""Which hidden states of a text a head reads."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Pool"]


class Pool(StrEnum):
    """Which of a text's hidden states a head on sequences reads."""

    FIRST = "first"
    LAST = "last"
    MEAN = "mean"

    def places(self, tokens: int) -> list[int]:
        """The places of a text of so many tokens whose states are read.

        >>> Pool.FIRST.places(3), Pool.LAST.places(3), Pool.MEAN.places(3)
        ([0], [2], [0, 1, 2])
        """
        return {Pool.FIRST: [0], Pool.LAST: [tokens - 1]}.get(self, list(range(tokens)))
