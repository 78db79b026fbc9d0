"""Where a task's training rows come from: rows that are stored, or rows that are streamed."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from datasets import Dataset

from hf_mtl.data import Sequence, TaskStream, derived_seed
from hf_mtl.tasks import EncodedSplit

__all__ = ["RowSource", "StoredRows"]


class RowSource(ABC):
    """Abstract: a task's batches by the task's own step.

    Attributes:
        rows: The number of rows; None if it is not known.
        tokens_per_row: Their mean length, in tokens.
    """

    rows: int | None
    tokens_per_row: float

    @abstractmethod
    def batch(self, step: int) -> list[Sequence]:
        """The rows of one optimizer step, counted from 0. Steps are asked for one after the other."""

    @abstractmethod
    def fingerprint(self) -> str | None:
        """What a resume recognises the rows by; None if it cannot."""

    def state_dict(self) -> dict[str, Any]:  # Any: plain JSON
        """What `batch` depends on beside the step, as JSON."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - stored rows remember nothing
        """Go on where `state_dict` was called."""


class StoredRows(RowSource):
    """Rows that were tokenised before training.

    Args:
        split: The rows.
        batch_size: Rows of an optimizer step.
        seed: The run's data seed; the task's own follows from it and its name.
    """

    def __init__(self, split: EncodedSplit, batch_size: int, seed: int) -> None:
        self.split = split
        self.seed = seed
        self.rows = len(split)
        self.tokens_per_row = split.tokens / len(split)
        self._stream = TaskStream(len(split), batch_size, derived_seed(seed, "stream", split.task))

    def batch(self, step: int) -> list[Sequence]:
        """As in `RowSource`; any step can be asked for."""
        name = self.split.task
        return [
            self.split.sequence(row, dropout_key=derived_seed(self.seed, "dropout", name, step, row))
            for row in self._stream.batch(step)
        ]

    def fingerprint(self) -> str:
        """A hash of all tokens and labels."""
        return _hash(self.split.rows)


def _hash(rows: Dataset) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for batch in rows.with_format("numpy").iter(1000):
        for column in ("input_ids", "labels"):
            for values in batch[column]:
                digest.update(len(values).to_bytes(8, "big"))
                digest.update(values.astype("<i8").tobytes())
    return digest.hexdigest()
