"""One task's stream of batches: shuffled by its own seed, indifferent to what other tasks do.

>>> stream = TaskStream(rows=5, batch_size=2, seed=7)
>>> [len(stream.batch(step)) for step in range(3)]  # a short last batch is kept
[2, 2, 1]
>>> stream.batch(0) == TaskStream(rows=5, batch_size=2, seed=7).batch(0)
True
"""

from __future__ import annotations

import hashlib
import math

import torch

__all__ = ["TaskStream", "derived_seed"]


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
