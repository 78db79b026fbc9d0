"""One task's stream of batches: shuffled by its own seed, indifferent to what other tasks do.

`TaskStream` gives row numbers of a data set that can be addressed, `StreamingRows` the rows of one that can only be
read from its start.

>>> stream = TaskStream(rows=5, batch_size=2, seed=7)
>>> [len(stream.batch(step)) for step in range(3)]  # a short last batch is kept
[2, 2, 1]
>>> stream.batch(0) == TaskStream(rows=5, batch_size=2, seed=7).batch(0)
True
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import final

import torch
from datasets import IterableDataset

from hf_mtl.bounds import COUNT, bound_problems
from hf_mtl.data.rows import Row
from hf_mtl.errors import ConfigError, DataError

__all__ = ["StreamingRows", "TaskStream", "derived_seed"]


def derived_seed(seed: int, *keys: str | int) -> int:
    """Return a 63-bit seed that depends on every key and on nothing else (not on the process's hash seed)."""
    text = "\x1f".join(str(key) for key in (seed, *keys))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class TaskStream:
    """Batches of row numbers, addressed by the task's own step, so that any step can be reached at once.

    Args:
        rows: Number of rows.
        batch_size: Rows in a batch; the last batch of an epoch keeps what is left.
        seed: The stream's seed; each epoch's order is drawn from it.
    """

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self._epoch = -1
        self._order: list[int] = []

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the rows."""
        return math.ceil(self.rows / self.batch_size)

    def batch(self, step: int) -> list[int]:
        """Return the row numbers of the batch of this step, counted over epochs from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(derived_seed(self.seed, "epoch", epoch))
            self._order = torch.randperm(self.rows, generator=generator).tolist()
            self._epoch = epoch
        start = position * self.batch_size
        return self._order[start : start + self.batch_size]


@final
class StreamingRows:
    """Batches of raw rows of a streaming data set, one after the other, epoch after epoch without end.

    Rows are shuffled through a buffer: it is filled with the first `buffer_size` rows, then every further row takes the
    place of one drawn at random, which is given out. Each epoch restarts the data set (`set_epoch` is called first, so
    a `datasets` stream that shuffles its files takes a new order of them) and draws from a seed of its own. The last
    batch of an epoch keeps what is left.

    Read it in one process: a `datasets` stream gives each worker of a `DataLoader` only a share of its rows.

    Args:
        rows: A `datasets.IterableDataset`, or anything else that can be iterated over from its start again and again in
            the same order.
        batch_size: Rows in a batch.
        seed: The stream's seed.
        task: The task's name, for messages.
        buffer_size: Rows in the shuffle buffer, held in memory; 1 keeps the data set's order.

    Raises:
        ConfigError: If a size is not above 0, or `rows` is an iterator, which cannot be restarted.

    Example:
        >>> stream = StreamingRows([{"n": n} for n in range(5)], batch_size=2, seed=7, task="count", buffer_size=1)
        >>> [[row["n"] for row in stream.next_batch()] for _ in range(4)]
        [[0, 1], [2, 3], [4], [0, 1]]
        >>> stream.state_dict()
        {'epoch': 1, 'rows': 2}
    """

    def __init__(
        self,
        rows: IterableDataset | Iterable[Row],
        batch_size: int,
        seed: int,
        *,
        task: str,
        buffer_size: int = 1000,
    ) -> None:
        sizes = {"batch_size": batch_size, "buffer_size": buffer_size}
        problems = [
            f"task {task!r}: {problem}" for problem in bound_problems(dict.fromkeys(sizes, COUNT), sizes)
        ]
        if isinstance(rows, Iterator):
            problems.append(
                f"task {task!r}: its rows are an iterator ({type(rows).__name__}), which cannot be read a second time; "
                f"give a datasets.IterableDataset, for example IterableDataset.from_generator(function)."
            )
        if problems:
            raise ConfigError(problems)
        self.rows = rows
        self.batch_size = batch_size
        self.seed = seed
        self.task = task
        self.buffer_size = buffer_size
        self._start(0)

    def next_batch(self) -> list[Row]:
        """Return the next batch; its rows are those of one epoch.

        Raises:
            DataError: If an epoch has no row at all.
        """
        batch = list(islice(self._shuffled, self.batch_size))
        if not batch:
            if self._given == 0:
                raise DataError(
                    f"task {self.task!r}: the stream has no rows in epoch {self._epoch}; at least one is needed."
                )
            self._start(self._epoch + 1)
            return self.next_batch()
        self._given += len(batch)
        return batch

    def state_dict(self) -> dict[str, int]:
        """Return the position: the epoch, counted from 0, and the rows of it that have been given out."""
        return {"epoch": self._epoch, "rows": self._given}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go to a position, by reading the epoch again up to there; the batches that follow are those that would have.

        Args:
            state: What `state_dict` returned for the same rows, seed and buffer size.

        Raises:
            DataError: If the epoch has fewer rows than had been given out of it.
        """
        self._start(state["epoch"])
        for _ in islice(self._shuffled, state["rows"]):
            self._given += 1
        if self._given < state["rows"]:
            raise DataError(
                f"task {self.task!r}: {state['rows']} rows of epoch {self._epoch} had been read, but the stream now "
                f"has only {self._given}; resume with the rows that the run was started with."
            )

    def _start(self, epoch: int) -> None:
        self._epoch = epoch
        self._given = 0
        shuffled = _shuffled(self._rows_of(epoch), self.buffer_size, derived_seed(self.seed, "epoch", epoch))
        self._shuffled: Iterator[Row] = shuffled

    def _rows_of(self, epoch: int) -> Iterator[Row]:
        # Set when the reading starts, not before: two tasks may read one and the same data set.
        if isinstance(self.rows, IterableDataset):
            self.rows.set_epoch(epoch)
        yield from self.rows


def _shuffled(rows: Iterable[Row], buffer_size: int, seed: int) -> Iterator[Row]:
    """Give out all rows, each from a random place of a buffer that the next row then takes."""
    draw = random.Random(
        seed
    ).random  # of all its methods the one whose numbers every version of Python keeps
    buffer: list[Row] = []
    for row in rows:
        if len(buffer) < buffer_size:
            buffer.append(row)
            continue
        place = int(draw() * buffer_size)
        yield buffer[place]
        buffer[place] = row
    while buffer:
        place = int(draw() * len(buffer))
        buffer[place], buffer[-1] = buffer[-1], buffer[place]
        yield buffer.pop()
