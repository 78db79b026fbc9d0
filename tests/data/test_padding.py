"""The padded layout, on numbers that can be checked by eye and on random lengths."""

from __future__ import annotations

import random

import pytest
import torch

from hf_mtl.data import (
    Chunk,
    EncoderDecoderSequence,
    ImageSequence,
    PackedLayout,
    PaddedLayout,
    Sequence,
    pack,
    pad,
)
from hf_mtl.data.padding import cut_into_similar_chunks, fill_padded_batches
from hf_mtl.errors import DataError


def _pair(route: str, encoder: int, decoder: int, row: int = 0) -> EncoderDecoderSequence:
    labels = list(range(decoder))
    ids = list(range(10, 10 + encoder))
    return EncoderDecoderSequence(route, ids, labels, labels, row, row, decoder_input_ids=[0] * decoder)


def _text(route: str, length: int, row: int = 0) -> Sequence:
    return Sequence(route, list(range(10, 10 + length)), [length - 1], [7], row, dropout_key=row)


def test_rows_are_sorted_by_route_and_padded_on_the_right() -> None:
    batch = pad([Chunk("b", [_text("b", 2, 1)]), Chunk("a", [_text("a", 3, 2), _text("a", 1, 3)])], pad_id=5)
    assert batch.inputs["input_ids"].tolist() == [[10, 11, 12], [10, 5, 5], [10, 11, 5]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    assert batch.label_mask.nonzero().tolist() == [[0, 2], [1, 0], [2, 1]]
    assert [tuple(s) for s in batch.segments] == [("a", 0, 2), ("b", 2, 3)]
    assert [tuple(s) for s in batch.label_segments] == [("a", 0, 2), ("b", 2, 3)]
    assert batch.rows == (("a", 2), ("a", 3), ("b", 1)) and batch.dropout_keys == (2, 3, 1)
    assert (batch.tokens, batch.real_tokens) == (9, 6)


def test_a_prompt_goes_to_the_encoder_and_what_is_learned_to_the_decoder() -> None:
    whole = Sequence.next_token("a", [5, 6, 7, 8, 9], [-100, -100, 7, 8, 9], row=3, dropout_key=4)
    pair = EncoderDecoderSequence.split(whole, start_id=0, end_id=1)
    assert (pair.input_ids, pair.decoder_input_ids) == ([5, 6, 1], [0, 7, 8])
    assert (pair.label_positions, pair.label_ids) == ([0, 1, 2], [7, 8, 9])
    assert (pair.route, pair.row, pair.dropout_key) == ("a", 3, 4)
    prefix = Sequence("a", [5, 6, 7], [1, 2], [7, 0], row=3)
    assert EncoderDecoderSequence.split(prefix, start_id=0, end_id=None).decoder_input_ids == [0, 7]


def test_images_are_stacked() -> None:
    images = [ImageSequence.of("a", torch.full((3, 2, 2), float(row)), row=row) for row in (0, 1)]
    batch = pad([Chunk("a", images)], pad_id=0)  # type: ignore[arg-type]
    assert batch.inputs["pixel_values"].shape == (2, 3, 2, 2)
    assert batch.rows == (("a", 0), ("a", 1)) and batch.widths == () and len(batch.label_ids) == 0
    with pytest.raises(DataError, match="one kind of sequence, found ImageSequence, Sequence"):
        pad([Chunk("a", images[:1]), Chunk("b", [_text("b", 2)])], pad_id=0)  # type: ignore[arg-type]


def test_chunks_hold_similar_lengths_and_see_their_own_task_only() -> None:
    lengths = (3, 40, 4, 9, 10, 3)
    chunks = cut_into_similar_chunks([_text("a", length, i) for i, length in enumerate(lengths)], 25)
    assert [[len(s.input_ids) for s in chunk.sequences] for chunk in chunks] == [[3, 3, 4], [9, 10], [40]]
    assert [s.row for s in chunks[0].sequences] == [0, 5, 2]
    narrow = cut_into_similar_chunks([_text("a", 10, i) for i in range(5)], 25)
    assert [len(chunk.sequences) for chunk in narrow] == [2, 2, 1]


@pytest.mark.parametrize("kind", ["text", "pair"])
@pytest.mark.parametrize("seed", range(5))
def test_at_most_a_fifth_of_a_pass_is_padding(kind: str, seed: int) -> None:
    draw = random.Random(seed)

    def sequence(route: str, row: int) -> Sequence:
        length = int(draw.lognormvariate(4, 0.8)) + 1
        return _pair(route, length, draw.randint(1, 12), row) if kind == "pair" else _text(route, length, row)

    layout = PaddedLayout()
    batches = {route: [sequence(route, row) for row in range(40)] for route in "abcde"}
    chunks = [chunk for sequences in batches.values() for chunk in layout.cut(sequences, 512)]
    laid_out = [layout.lay_out(group) for group in layout.fill(chunks, 2048)]
    real = sum(batch.real_tokens for batch in laid_out)
    computed = sum(batch.tokens for batch in laid_out)
    assert sorted(row for batch in laid_out for row in batch.rows) == [
        (r, i) for r in "abcde" for i in range(40)
    ]
    assert real == sum(
        len(s.input_ids) + (len(s.decoder_input_ids) if isinstance(s, EncoderDecoderSequence) else 0)
        for sequences in batches.values()
        for s in sequences
    )
    assert all(batch.real_tokens >= 0.8 * batch.tokens for batch in laid_out)
    assert all(batch.tokens <= 2048 or len(batch.rows) == 1 for batch in laid_out)
    assert any(len({route for route, _ in batch.rows}) >= 3 for batch in laid_out), "tasks share no pass"
    rows = [s for sequences in batches.values() for s in sequences]
    assert pad([Chunk("a", rows)], pad_id=0).tokens > 1.5 * computed, (
        "the lengths are alike, so nothing was shown"
    )


def test_a_route_keeps_the_order_of_its_chunks() -> None:
    chunks = [
        chunk
        for route in "ab"
        for chunk in cut_into_similar_chunks([_pair(route, 5 + i % 7, 1 + i % 3, i) for i in range(20)], 40)
    ]
    filled = [chunk for group in fill_padded_batches(chunks, 100) for chunk in group]
    for route in "ab":
        assert [c for c in filled if c.route == route] == [c for c in chunks if c.route == route]


def test_layouts_are_the_functions_they_name() -> None:
    sequences = [_text("a", 4, 1), _text("a", 2, 2)]
    packed = PackedLayout()
    (chunk,) = packed.cut(sequences, 100)
    ours, expected = packed.lay_out([chunk]), pack([chunk])
    assert torch.equal(ours.input_ids, expected.input_ids) and ours.segments == expected.segments
    pairs = PaddedLayout(pad_id=3, decoder_start_id=0, end_id=1)
    raw, cut = pairs.lay_out([chunk]), pairs.lay_out(pairs.cut(sequences[:1], 100))
    assert raw.inputs["input_ids"].tolist() == [[10, 11, 12, 13, 1], [10, 11, 1, 3, 3]]
    assert cut.inputs["decoder_input_ids"].tolist() == [[0]]
