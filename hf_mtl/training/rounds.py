"""Rounds: one optimizer step of every task that is not finished, as micro-batches of many tasks.

A round can be made from its number alone, so a run can be entered anywhere. Each task brings its own next
batch whatever the others do; only the number of micro-batches depends on how many tasks take part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch.utils.data import DataLoader, Dataset, Sampler

from hf_mtl.data import Layout, PackedBatch, PackedLayout, PaddedBatch, TaskStream, derived_seed
from hf_mtl.tasks import EncodedSplit
from hf_mtl.training.settings import TaskSettings

__all__ = ["Round", "RoundLoader", "RoundPlan"]


@dataclass(frozen=True)
class Round:
    """What one optimizer step of the participating tasks consumes.

    Args:
        micro_batches: One forward and backward pass each.
        label_counts: Learned tokens of each participating task, over the whole round; its loss is their mean.
        tokens: Tokens of each participating task, over the whole round.
    """

    micro_batches: tuple[PackedBatch | PaddedBatch, ...]
    label_counts: Mapping[str, int]
    tokens: Mapping[str, int]


class RoundPlan(Dataset[Round]):
    """All rounds of a run, by number.

    Args:
        splits: Each task's encoded training rows.
        settings: Each task's settings.
        seed: The data seed; each task derives its own from it and its name.
        token_budget: Most tokens of a micro-batch.
        max_chunk_tokens: Most tokens of a chunk.
        layout: How the base takes its batches; default packed.
    """

    def __init__(
        self,
        splits: Mapping[str, EncodedSplit],
        settings: Mapping[str, TaskSettings],
        *,
        seed: int,
        token_budget: int,
        max_chunk_tokens: int,
        layout: Layout | None = None,
    ) -> None:
        self.splits = splits
        self.settings = settings
        self.seed = seed
        self.token_budget = token_budget
        self.max_chunk_tokens = max_chunk_tokens
        self.layout = layout or PackedLayout()
        self.streams = {
            name: TaskStream(len(split), settings[name].batch_size, derived_seed(seed, "stream", name))
            for name, split in splits.items()
        }

    def __len__(self) -> int:
        return max(settings.steps for settings in self.settings.values())

    def __getitem__(self, number: int) -> Round:
        if not 0 <= number < len(self):
            raise IndexError(f"There is no round {number}; the run has {len(self)}.")
        chunks = []
        label_counts, tokens = {}, {}
        for name, split in self.splits.items():
            if number >= self.settings[name].steps:
                continue
            sequences = [
                split.sequence(row, dropout_key=derived_seed(self.seed, "dropout", name, number, row))
                for row in self.streams[name].batch(number)
            ]
            label_counts[name] = sum(len(sequence.label_ids) for sequence in sequences)
            tokens[name] = sum(len(sequence.input_ids) for sequence in sequences)
            chunks += self.layout.cut(sequences, self.max_chunk_tokens)
        micro_batches = self.layout.fill(chunks, self.token_budget)
        return Round(tuple(self.layout.lay_out(batch) for batch in micro_batches), label_counts, tokens)


class _RoundSampler(Sampler[int]):
    """The numbers of the rounds of one epoch of the run; an epoch ends where the longest task ends one of its own."""

    def __init__(self, rounds: int, epochs: int) -> None:
        self.rounds = rounds
        self.per_epoch = math.ceil(rounds / epochs)
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        start = self.epoch * self.per_epoch
        return iter(range(start, min(start + self.per_epoch, self.rounds)))

    def __len__(self) -> int:
        return self.per_epoch


class RoundLoader(DataLoader[Round]):
    """Yields the rounds of an epoch, one item each.

    Args:
        plan: The rounds.
        epochs: Into how many epochs the run is divided for `epoch` in logs and callbacks.
        workers: Processes that prepare rounds ahead; 0 prepares them in the training process.
    """

    def __init__(self, plan: RoundPlan, *, epochs: int, workers: int = 0) -> None:
        super().__init__(plan, batch_size=None, sampler=_RoundSampler(len(plan), epochs), num_workers=workers)

    def set_epoch(self, epoch: int) -> None:
        """Move on to the rounds of this epoch, counted from 0."""
        assert isinstance(self.sampler, _RoundSampler)
        self.sampler.epoch = epoch
