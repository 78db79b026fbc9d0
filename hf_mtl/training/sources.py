"""Where a task's training rows come from: rows that are stored, or rows that are streamed."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from datasets import Dataset, IterableDataset

from hf_mtl.data import (
    EndFinder,
    Example,
    Row,
    Sequence,
    SkippedRows,
    StreamingRows,
    TaskStream,
    bad_row,
    derived_seed,
    with_raw_images,
)
from hf_mtl.errors import DataError
from hf_mtl.models.probes import Extent
from hf_mtl.notices import logger_of
from hf_mtl.tasks import EncodedSplit, RowEncoder

__all__ = ["RowSource", "StoredRows", "StreamedRows"]

logger = logger_of(__name__)

_MOST_USELESS = 10_000  # rows of a stream one after the other without anything to learn
_SAMPLE = 32  # rows of a stream that its mean length is taken from


class RowSource(ABC):
    """Abstract: a task's batches by the task's own step.

    Attributes:
        rows: The number of rows; None if it is not known.
        tokens_per_row: Their mean length, in tokens.
        skipped: The rows that cannot be used and were left out.
        extent: Their shortest and longest length, as far as they are known.
    """

    rows: int | None
    tokens_per_row: float
    skipped: SkippedRows
    extent: Extent

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
        self.skipped = split.skipped
        lengths = split.lengths
        self.tokens_per_row = sum(lengths) / len(split)
        self.extent = Extent(min(lengths), max(lengths))
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

    A row that cannot be used ends the run, or, of a task with `on_bad_row="skip"`, is left out. It is counted in the
    first epoch, when every row comes for the first time, and named by its place in the order in which they came. A
    stream of which 10,000 rows in a row, or all rows of an epoch, give nothing to learn ends the run.

    Args:
        encoder: Makes the sequences of a row; its task's `train` is the stream.
        batch_size: Rows of an optimizer step.
        seed: The run's data seed.
        ends: Finds the ends of completions in the rows as they come; None where none are written.

    Raises:
        DataError: If the stream has no rows, or one of its first rows cannot be used and is not skipped.
    """

    def __init__(
        self, encoder: RowEncoder, batch_size: int, seed: int, *, ends: EndFinder | None = None
    ) -> None:
        task = encoder.task
        assert isinstance(task.train, IterableDataset)
        self.task = task
        self.seed = seed
        self.rows = None
        self.skipped = SkippedRows()
        self.extent = Extent(longest=task.max_length)
        self._encoder = encoder
        self._ends = ends
        rows = with_raw_images(task.train)
        self._stream = StreamingRows(
            rows, batch_size, derived_seed(seed, "stream", task.name), task=task.name
        )
        self._read = 0
        self._place = _Place()
        first = list(rows.take(_SAMPLE))
        if not first:
            raise DataError(f"{self._where}: the stream is empty; at least one row is needed.")
        # They come again in a batch, and are counted there.
        sample = [self._examples(number, row, counted=False) for number, row in enumerate(first)]
        encoded = [examples for examples in sample if examples]
        tokens = sum(max(1, len(own.input_ids)) for examples in encoded for own in examples)
        self.tokens_per_row = max(1, tokens) / max(1, len(encoded))
        if ends is not None:
            ends.add(example for examples in encoded for example in examples)

    @property
    def _where(self) -> str:
        return f"task {self.task.name!r}, train"

    def batch(self, step: int) -> list[Sequence]:
        """As in `RowSource`.

        Raises:
            DataError: If a row cannot be used and is not skipped, or the rows give nothing to learn.
        """
        sequences: list[Sequence] = []
        while not sequences:
            rows = self._stream.next_batch()
            if (epoch := self._stream.state_dict()["epoch"]) > self._place.epoch:
                self._end_epoch(epoch)
            for row in rows:
                sequences += self._sequences(row, step)
        return sequences

    def _sequences(self, row: Row, step: int) -> list[Sequence]:
        """What is learned of the next row."""
        number, self._read = self._read, self._read + 1
        examples = self._examples(number, row, counted=True)
        self._place = replace(self._place, useless=0 if examples else self._place.useless + 1)
        if self._place.useless >= _MOST_USELESS:
            raise self._nothing_to_learn(f"{_MOST_USELESS:,} rows of the stream one after the other have")
        if self._ends is not None:
            self._ends.add(examples)
        sequences = []
        for part, example in enumerate(examples):
            key = derived_seed(self.seed, "dropout", self.task.name, step, number, part)
            own = {field.name: getattr(example, field.name) for field in fields(example)}
            sequences.append(self._encoder.sequence(own, row=number, dropout_key=key, source=row))
        return sequences

    def _examples(self, number: int, row: Row, *, counted: bool) -> list[Example]:
        """The sequences of a row; none if it has no label or is skipped."""
        try:
            return self._encoder.examples(row)
        except DataError as error:
            if self.task.on_bad_row == "raise":
                raise bad_row(f"{self._where}, streamed row {number}", error) from error
            if counted and self._place.epoch == 0:
                new = self.skipped.add(number, error)
                if new or math.log10(len(self.skipped)).is_integer():
                    logger.warning("%s: of %d rows so far, %s", self._where, number + 1, self.skipped)
            return []

    def _end_epoch(self, following: int) -> None:
        rows = self._read - self._place.began
        if rows and self._place.useless >= rows:
            raise self._nothing_to_learn(f"all {rows:,} rows of the stream have")
        if self.skipped and self._place.epoch == 0:
            logger.warning("%s: of all %d rows of the stream, %s", self._where, rows, self.skipped)
        self._place = replace(self._place, epoch=following, began=self._read)

    def _nothing_to_learn(self, rows: str) -> DataError:
        skipped = f" ({self.skipped})" if self.skipped else ""
        return DataError(
            f"{self._where}: {rows} no label or cannot be used{skipped}, so that there is nothing to learn. Name the "
            f"label's column (columns={{...}}), or give a stream whose rows have labels."
        )

    def restart(self) -> None:
        """As in `RowSource`."""
        start = {"epoch": 0, "rows": 0}
        self.load_state_dict({"stream": start, "read": 0, "ends": (), "place": {}, "skipped": {}})

    def fingerprint(self) -> None:
        """A stream is not recognised: it is read on from where it was."""

    def state_dict(self) -> dict[str, Any]:
        """As in `RowSource`."""
        return {
            "stream": self._stream.state_dict(),
            "read": self._read,
            "ends": [] if self._ends is None else self._ends.ids,
            "place": asdict(self._place),
            "skipped": self.skipped.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As in `RowSource`; the epoch's rows so far are read once more and passed by."""
        self._stream.load_state_dict(state["stream"])
        self._read = state["read"]
        self._place = _Place(**state["place"])
        self.skipped.load_state_dict(state["skipped"])
        if self._ends is not None:
            self._ends.add_ids(state["ends"])


@dataclass(frozen=True)
class _Place:
    """Where the reading of a stream stands: the epoch, how many rows were read before it, useless rows on end."""

    epoch: int = 0
    began: int = 0
    useless: int = 0


def _hash(rows: Dataset) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for batch in rows.with_format("numpy").iter(1000):
        for column in ("input_ids", "label_positions", "label_ids", "targets"):
            for values in batch[column]:
                digest.update(len(values).to_bytes(8, "big"))
                digest.update(values.astype("<f8").tobytes())
    return digest.hexdigest()
