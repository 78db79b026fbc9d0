"""Which head an adapter has, before any is built."""

from __future__ import annotations

from dataclasses import dataclass

from hf_mtl.head_shapes import HeadShape

__all__ = ["HeadSpec"]


@dataclass(frozen=True)
class HeadSpec:
    """Which head an adapter is to have.

    Args:
        shape: What it gives its outputs for.
        outputs: The number of its outputs.
    """

    shape: HeadShape
    outputs: int
