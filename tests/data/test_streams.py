"""Streams of rows: shuffled, endless, and resumed to the row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, IterableDataset, load_dataset

from hf_mtl.data import StreamingRows
from hf_mtl.errors import ConfigError, DataError

ROWS = 23


def _open(folder: Path, *, shuffle_files: bool = False) -> IterableDataset:
    """Open three JSONL files as one streaming data set."""
    for start, stop in ((0, 9), (9, 10), (10, ROWS)):
        lines = [json.dumps({"n": n, "text": f"row {n}"}) + "\n" for n in range(start, stop)]
        (folder / f"{start:02}.jsonl").write_text("".join(lines), encoding="utf-8")
    files = sorted(str(path) for path in folder.glob("*.jsonl"))
    rows = load_dataset(
        "json", data_files=files, split="train", streaming=True, cache_dir=str(folder / "cache")
    )
    return rows.shuffle(seed=5, buffer_size=4) if shuffle_files else rows


def _mapped(folder: Path) -> IterableDataset:
    return _open(folder).map(lambda row: {"n": row["n"], "text": row["text"].upper()})


def _from_memory(folder: Path) -> IterableDataset:
    return Dataset.from_list([{"n": n, "text": str(n)} for n in range(ROWS)]).to_iterable_dataset(
        num_shards=3
    )


OPENERS: dict[str, Callable[[Path], Any]] = {
    "files": _open,
    "shuffled files": lambda folder: _open(folder, shuffle_files=True),
    "mapped": _mapped,
    "from memory": _from_memory,
    "list": lambda folder: [{"n": n, "text": str(n)} for n in range(ROWS)],
}


def _stream(rows: Any, *, batch_size: int = 4, seed: int = 11, buffer_size: int = 7) -> StreamingRows:
    return StreamingRows(rows, batch_size, seed, task="count", buffer_size=buffer_size)


def _numbers(batches: list[list[Any]]) -> list[int]:
    return [row["n"] for batch in batches for row in batch]


@pytest.mark.parametrize("opened", OPENERS.values(), ids=OPENERS)
def test_an_epoch_has_every_row_once_and_a_short_last_batch(
    opened: Callable[[Path], Any], tmp_path: Path
) -> None:
    stream = _stream(opened(tmp_path))
    epochs = [[stream.next_batch() for _ in range(6)] for _ in range(3)]
    for batches in epochs:
        assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4, 3]
        assert sorted(_numbers(batches)) == list(range(ROWS))
    orders = [_numbers(batches) for batches in epochs]
    assert orders[0] != orders[1] != orders[2] != orders[0] and sorted(orders[0]) not in orders


@pytest.mark.parametrize("opened", OPENERS.values(), ids=OPENERS)
def test_resume_from_anywhere(opened: Callable[[Path], Any], tmp_path: Path) -> None:
    uninterrupted = _stream(opened(tmp_path))
    states, batches = [uninterrupted.state_dict()], []
    for _ in range(15):  # two epochs and a half
        batches.append(uninterrupted.next_batch())
        states.append(json.loads(json.dumps(uninterrupted.state_dict())))
    assert states[0] == {"epoch": 0, "rows": 0} and states[15] == {"epoch": 2, "rows": 12}
    for done in (0, 1, 5, 6, 7, 12, 14):  # 6 and 12: an epoch has just ended
        resumed = _stream(opened(tmp_path))
        resumed.next_batch()  # it need not be a fresh one
        resumed.load_state_dict(states[done])
        assert resumed.state_dict() == states[done]
        assert [resumed.next_batch() for _ in range(done, 15)] == batches[done:]
        assert resumed.state_dict() == states[15]


def test_epochs_that_end_with_a_full_batch(tmp_path: Path) -> None:
    stream = _stream(_open(tmp_path).take(8))
    assert [len(stream.next_batch()) for _ in range(2)] == [4, 4]
    ended = stream.state_dict()
    following = stream.next_batch()
    assert (ended, stream.state_dict()) == ({"epoch": 0, "rows": 8}, {"epoch": 1, "rows": 4})
    resumed = _stream(_open(tmp_path).take(8))
    resumed.load_state_dict(ended)
    assert resumed.next_batch() == following


def test_the_order_depends_on_the_seed_and_the_buffer() -> None:
    rows = [{"n": n} for n in range(ROWS)]

    def order(**changes: int) -> list[int]:
        stream = _stream(rows, **changes)
        return _numbers([stream.next_batch() for _ in range(6)])

    assert order() == order() != order(seed=12)
    assert order(buffer_size=1) == list(range(ROWS)) == sorted(order(buffer_size=100))
    assert order(buffer_size=100) != list(range(ROWS))
    # A row is never given out before the buffer could have held it.
    assert all(n < place + 7 for place, n in enumerate(order()))


def test_golden_order() -> None:
    """A saved run must resume into the same rows with every version of the library and of Python."""
    stream = StreamingRows([{"n": n} for n in range(10)], 5, 0, task="count", buffer_size=4)
    golden = [[3, 2, 5, 0, 6], [7, 8, 1, 9, 4], [0, 3, 5, 1, 2]]
    assert [_numbers([stream.next_batch()]) for _ in range(3)] == golden


def test_shuffling_is_uniform_with_a_buffer_of_all_rows() -> None:
    """Each of 4 rows comes first in about a quarter of 4000 epochs (five standard deviations: 137)."""
    stream = StreamingRows([{"n": n} for n in range(4)], 4, 3, task="count", buffer_size=4)
    orders = [_numbers([stream.next_batch()]) for _ in range(4000)]
    for place in range(4):
        for n in range(4):
            assert abs(sum(order[place] == n for order in orders) - 1000) < 137


def test_a_set_that_shuffles_itself_is_told_the_epoch(tmp_path: Path) -> None:
    plain, told = _open(tmp_path, shuffle_files=True), []
    for epoch in range(3):
        plain.set_epoch(epoch)
        told.append(_numbers([list(plain)]))
    stream = _stream(_open(tmp_path, shuffle_files=True), batch_size=ROWS, buffer_size=1)
    assert [_numbers([stream.next_batch()]) for _ in range(3)] == told
    assert told[0] != told[1] != told[2]


def test_two_tasks_may_read_one_data_set(tmp_path: Path) -> None:
    shared = _open(tmp_path, shuffle_files=True)
    alone = _stream(_open(tmp_path, shuffle_files=True), batch_size=9)
    first, second = _stream(shared, batch_size=9), _stream(shared, batch_size=2)
    second.load_state_dict({"epoch": 2, "rows": 4})
    for _ in range(5):
        assert first.next_batch() == alone.next_batch()
        second.next_batch()


def test_an_empty_stream_names_its_task(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text('{"n": 1}\n', encoding="utf-8")
    rows = load_dataset(
        "json",
        data_files=str(tmp_path / "empty.jsonl"),
        split="train",
        streaming=True,
        cache_dir=str(tmp_path),
    )
    stream = _stream(rows.filter(lambda row: row["n"] > 1))
    with pytest.raises(DataError, match="task 'count': the stream has no rows in epoch 0"):
        stream.next_batch()


def test_a_stream_that_has_become_shorter_cannot_be_resumed(tmp_path: Path) -> None:
    stream = _stream(_open(tmp_path).take(20))
    with pytest.raises(DataError, match="task 'count': 21 rows of epoch 3 had been read, .* has only 20"):
        stream.load_state_dict({"epoch": 3, "rows": 21})


def test_what_is_refused() -> None:
    def rows() -> Iterator[dict[str, int]]:
        yield {"n": 0}

    with pytest.raises(ConfigError) as caught:
        StreamingRows(rows(), 0, 1, task="count", buffer_size=-2)
    sizes, iterator = caught.value.problems[:2], caught.value.problems[2]
    assert sizes == (
        "task 'count': batch_size: expected a whole number above 0, found 0.",
        "task 'count': buffer_size: expected a whole number above 0, found -2.",
    )
    assert "iterator (generator), which cannot be read a second time" in iterator
