"""The rows of a task, as they are read: stored, streamed, or looked at before a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

    from hf_mtl.data import RowTable

__all__ = ["Rows"]

Rows: TypeAlias = "Dataset | IterableDataset | RowTable"
