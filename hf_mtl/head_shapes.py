"""What a head of a task's own gives its outputs for."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["HeadShape"]


class HeadShape(StrEnum):
    """A whole text or image, each token, or the borders of a span."""

    SEQUENCE = "sequence"
    TOKEN = "token"
    SPAN = "span"
