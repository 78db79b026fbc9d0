"""Packing and streams, on numbers that can be checked by eye."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from hf_mtl.data import Chunk, Sequence, TaskStream, cut_into_chunks, derived_seed, fill_micro_batches, pack
from hf_mtl.training.rounds import Cut


def _sequence(route: str, length: int, row: int = 0) -> Sequence:
    return Sequence(route, list(range(10, 10 + length)), [length - 1], [7], row, dropout_key=row)


def test_next_token_labels_are_shifted_once() -> None:
    sequence = Sequence.next_token("a", [5, 6, 7, 8], [-100, -100, 7, 8], row=3)
    assert (sequence.label_positions, sequence.label_ids) == ([1, 2], [7, 8])
    first_token_has_no_predecessor = Sequence.next_token("a", [5, 6], [5, 6], row=0)
    assert first_token_has_no_predecessor.label_ids == [6]


def test_a_packed_stream_is_as_long_as_its_sequences() -> None:
    chunks = [Chunk("b", [_sequence("b", 4, 1), _sequence("b", 2, 2)]), Chunk("a", [_sequence("a", 3, 5)])]
    batch = pack(chunks)
    assert len(batch.input_ids) == batch.tokens == sum(chunk.tokens for chunk in chunks) == 9
    assert batch.lengths == (3, 4, 2)
    assert batch.rows == (("a", 5), ("b", 1), ("b", 2))
    assert batch.position_ids.tolist() == [0, 1, 2, 0, 1, 2, 3, 0, 1]
    assert batch.label_positions.tolist() == [2, 6, 8]
    assert [tuple(s) for s in batch.segments] == [("a", 0, 3), ("b", 3, 9)]
    assert [tuple(s) for s in batch.label_segments] == [("a", 0, 1), ("b", 1, 3)]
    assert batch.dropout_keys == (5, 1, 2)


def test_chunks_see_their_own_task_only() -> None:
    sequences = [_sequence("a", length, i) for i, length in enumerate((3, 4, 2, 9, 1, 1))]
    lengths = [[len(s.input_ids) for s in chunk.sequences] for chunk in cut_into_chunks(sequences, 7)]
    assert lengths == [[3, 4], [2], [9], [1, 1]]


def test_micro_batches_hold_whole_chunks_within_the_budget() -> None:
    chunks = [Chunk("a", [_sequence("a", length)]) for length in (3, 4, 2, 9, 1)]
    assert [[chunk.tokens for chunk in batch] for batch in fill_micro_batches(chunks, 7)] == [
        [3, 4],
        [2],
        [9],
        [1],
    ]
    assert [[chunk.tokens for chunk in batch] for batch in fill_micro_batches(chunks, 100)] == [
        [3, 4, 2, 9, 1]
    ]


def test_processes_share_a_round_by_tokens_and_keep_its_order() -> None:
    """The longest chunk first, each to the process with the fewest tokens: 9 and 4, then 3, 2 and 1."""
    chunks = [Chunk("a", [_sequence("a", length)]) for length in (3, 4, 2, 9, 1)]
    shares = [Cut(100, 9, rank=rank, world=2).fill(chunks) for rank in (0, 1)]
    assert [[[chunk.tokens for chunk in batch] for batch in share] for share in shares] == [
        [[9, 1]],
        [[3, 4, 2]],
    ]
    assert Cut(100, 9, rank=1, world=2, alone=True).fill(chunks) == [[chunks[0]], [chunks[1]], [chunks[2]]]


def test_a_sequence_counts_by_its_labels_unless_it_has_a_weight() -> None:
    sequence = Sequence.next_token("a", [5, 6, 7, 8], [-100, -100, 7, 8], row=3)
    assert sequence.share == 2
    assert replace(sequence, weight=0.5).share == 0.5
    assert replace(sequence, weight=0.0).share == 0.0


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_every_row_once_an_epoch_in_an_order_of_its_own(batch_size: int) -> None:
    stream = TaskStream(rows=7, batch_size=batch_size, seed=1)
    per_epoch = stream.steps_per_epoch
    epochs = [
        [row for step in range(per_epoch) for row in stream.batch(e * per_epoch + step)] for e in (0, 1)
    ]
    assert all(Counter(epoch) == Counter(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_any_step_can_be_reached_at_once() -> None:
    forward = TaskStream(rows=10, batch_size=3, seed=4)
    batches = [forward.batch(step) for step in range(12)]
    assert [TaskStream(rows=10, batch_size=3, seed=4).batch(step) for step in (11, 5, 0)] == [
        batches[11],
        batches[5],
        batches[0],
    ]


def test_seeds_are_the_same_in_every_process_and_apart_for_every_key() -> None:
    assert derived_seed(0, "stream", "sentiment") == 8239079591100829028
    assert len({derived_seed(0, "a", i) for i in range(1000)}) == 1000
    torch.Generator().manual_seed(derived_seed(2**40, "x"))
