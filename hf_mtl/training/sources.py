"""Where a task's training rows come from: rows that are stored, or rows that are streamed."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from datasets import Dataset, IterableDataset

from hf_mtl.data import EndFinder, Sequence, StreamingRows, TaskStream, derived_seed
from hf_mtl.errors import DataError
from hf_mtl.tasks import EncodedSplit, RowEncoder

__all__ = ["RowSource", "StoredRows", "StreamedRows"]

logger = logging.getLogger(__name__)

_SAMPLE = 32  # rows of a stream that its mean length is taken from


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

    def restart(self) -> None:  # noqa: B027 - stored rows are not read in order
        """Go to the first step."""

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
            self.split.sequence(line, dropout_key=derived_seed(self.seed, "dropout", name, step, line))
            for line in self._stream.batch(step)
        ]

    def fingerprint(self) -> str:
        """A hash of all tokens and labels."""
        return _hash(self.split.rows)


class StreamedRows(RowSource):
    """Rows that are read and tokenised while training goes on (`datasets.IterableDataset`).

    A row that cannot be used is told and left out; rows are told by their place in the order in which they came.

    Args:
        encoder: Makes the sequences of a row; its task's `train` is the stream.
        batch_size: Rows of an optimizer step.
        seed: The run's data seed.
        ends: Finds the ends of completions in the rows as they come; None where none are written.
    """

    def __init__(
        self, encoder: RowEncoder, batch_size: int, seed: int, *, ends: EndFinder | None = None
    ) -> None:
        task = encoder.task
        assert isinstance(task.train, IterableDataset)
        self.task = task
        self.seed = seed
        self.rows = None
        self._encoder = encoder
        self._ends = ends
        self._stream = StreamingRows(
            task.train, batch_size, derived_seed(seed, "stream", task.name), task=task.name
        )
        self._read = 0
        first = list(task.train.take(_SAMPLE))
        if not first:
            raise DataError(f"task {task.name!r}, train: the stream is empty; at least one row is needed.")
        examples = [example for row in first for example in encoder.examples(row)]
        self.tokens_per_row = max(1, sum(max(1, len(own.input_ids)) for own in examples)) / len(first)
        if ends is not None:
            ends.add(examples)

    def batch(self, step: int) -> list[Sequence]:
        """As in `RowSource`."""
        sequences: list[Sequence] = []
        while not sequences:
            for row in self._stream.next_batch():
                number, self._read = self._read, self._read + 1
                try:
                    examples = self._encoder.examples(row)
                except DataError as error:
                    logger.warning("task %r, streamed row %d is left out: %s", self.task.name, number, error)
                    continue
                if self._ends is not None:
                    self._ends.add(examples)
                for part, example in enumerate(examples):
                    key = derived_seed(self.seed, "dropout", self.task.name, step, number, part)
                    own = {field.name: getattr(example, field.name) for field in fields(example)}
                    sequences.append(self._encoder.sequence(own, row=number, dropout_key=key, source=row))
        return sequences

    def restart(self) -> None:
        """As in `RowSource`."""
        self.load_state_dict({"stream": {"epoch": 0, "rows": 0}, "read": 0})

    def fingerprint(self) -> None:
        """A stream is not recognised: it is read on from where it was."""

    def state_dict(self) -> dict[str, Any]:
        """As in `RowSource`."""
        ends = [] if self._ends is None else self._ends.ids
        return {"stream": self._stream.state_dict(), "read": self._read, "ends": ends}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As in `RowSource`; the epoch's rows so far are read once more and passed by."""
        self._stream.load_state_dict(state["stream"])
        self._read = state["read"]
        if self._ends is not None:
            self._ends.add_ids(state.get("ends", ()))


def _hash(rows: Dataset) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for batch in rows.with_format("numpy").iter(1000):
        for column in ("input_ids", "label_positions", "label_ids", "targets"):
            for values in batch[column]:
                digest.update(len(values).to_bytes(8, "big"))
                digest.update(values.astype("<f8").tobytes())
    return digest.hexdigest()
