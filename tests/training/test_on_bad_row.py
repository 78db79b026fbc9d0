"""Rows that cannot be used end the run, or are skipped and counted, and the others are learned as without them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, Features, Image, IterableDataset, Value
from kind_bases import CHAT, picture
from transformers import AutoTokenizer

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, Task
from hf_mtl.data import Chat
from hf_mtl.errors import ConfigError, DataError
from runs import ARGUMENTS, weights


def _png(seed: int, mode: str | None = None) -> bytes:
    file = io.BytesIO()
    picture(seed).convert(mode).save(file, "PNG")
    return file.getvalue()


def _images(*content: bytes, mode: str | None = None) -> Dataset:
    features = Features({"image": Image(mode=mode), "label": Value("int64")})
    rows = [{"image": {"bytes": own, "path": None}, "label": i % 2} for i, own in enumerate(content)]
    return Dataset.from_list(rows, features=features)


def _chat(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]}


# Base, what the task declares, rows of which those at BAD cannot be used, how they are counted, what the first is told.
BAD = (1, 4)
CASES: dict[str, tuple[str, dict[str, Any], Dataset, dict[str, int], str]] = {
    "text": (
        "bert",
        {"kind": "text-classification", "labels": ["bad", "good"]},
        Dataset.from_list(
            [
                {"text": "a play", "label": "good"},
                {"text": " ", "label": "good"},
                {"text": "awful", "label": "bad"},
                {"text": "a film", "label": None},
                {"text": "fun", "label": "goood"},
                {"text": "the sea", "label": "good"},
            ]
        ),
        {"no text": 1, "unknown label": 1},
        "the text is empty",
    ),
    "completion": (
        "llama",
        {"max_length": 20, "kind": "causal-lm"},
        Dataset.from_list(
            [{"prompt": "a", "completion": own} for own in ("b", "", "c", "d")]
            + [{"prompt": "a " * 30, "completion": "b"}, {"prompt": "a", "completion": "e"}]
        ),
        {"empty answer": 1, "over-long prompt": 1},
        "the completion '' becomes no token at all",
    ),
    "chat": (
        "llama",
        {"template": Chat()},
        Dataset.from_list(
            [_chat("a", "b"), _chat("a"), _chat("a", "c"), _chat("b", "c"), {"messages": []}, _chat("c", "d")]
        ),
        {"empty chat": 1, "no answer to learn": 1},
        "the conversation has no turn of the role 'assistant'",
    ),
    "image": (
        "vit",
        {"kind": "image-classification", "labels": ["x", "y"]},
        _images(_png(0), b"no image", _png(2), _png(3), _png(4)[:60], _png(5)),
        {"corrupt image": 2},
        "the image in these bytes cannot be decoded: no known image format",
    ),
    "image of a fixed mode": (
        "vit",
        {"kind": "image-classification", "labels": ["x", "y"]},
        _images(_png(0), b"no image", _png(2, "RGBA"), _png(3, "LA"), _png(4)[:60], _png(5, "P"), mode="RGB"),
        {"corrupt image": 2},
        "the image in these bytes cannot be decoded: no known image format",
    ),
}  # fmt: skip


@pytest.fixture
def trainer_of(bases: Callable[[str], Path], tmp_path: Path) -> Callable[..., MultiTaskTrainer]:
    def made(base: str, task: Task, **changes: Any) -> MultiTaskTrainer:
        args = MultiTaskTrainingArguments(str(tmp_path), **(ARGUMENTS | {"max_steps": 3} | changes))
        if base != "llama":
            return MultiTaskTrainer(str(bases(base)), args, [task])
        tokenizer = AutoTokenizer.from_pretrained(bases(base))
        tokenizer.chat_template = CHAT
        return MultiTaskTrainer(str(bases(base)), args, [task], processing_class=tokenizer)

    return made


def _streamed(rows: Dataset) -> IterableDataset:
    return rows.to_iterable_dataset()


@pytest.mark.parametrize("name", CASES)
def test_a_bad_row_ends_the_run(trainer_of: Callable[..., MultiTaskTrainer], name: str) -> None:
    """Before training: stored rows, rows to measure on, the first rows of a stream."""
    base, declared, rows, _, told = CASES[name]
    for split, place, own in (("train", "row 1", rows), ("train", "streamed row 1", _streamed(rows))):
        with pytest.raises(
            DataError, match=rf"^task 't', {split}, {place}: {told}.*\. on_bad_row='skip' for the"
        ):
            trainer_of(base, Task("t", train=own, **declared))
    with pytest.raises(DataError, match=f"^task 't', eval, row 1: {told}"):
        trainer_of(base, Task("t", eval=rows, **declared)).evaluate()


@pytest.mark.parametrize("name", CASES)
def test_skipped_rows_change_nothing_of_the_others(
    trainer_of: Callable[..., MultiTaskTrainer], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    base, declared, rows, counts, told = CASES[name]
    good = rows.select([row for row in range(len(rows)) if row not in BAD])
    skipping = trainer_of(base, Task("t", train=rows, eval=rows, on_bad_row="skip", **declared))
    alone = trainer_of(base, Task("t", train=good, eval=good, **declared))
    figures = []
    for trainer in (skipping, alone):
        trainer.train()
        figures.append({key: own for key, own in trainer.evaluate().items() if "runtime" not in key})
    assert figures[0] == figures[1]
    one, other = weights(skipping, "t"), weights(alone, "t")
    assert all(torch.equal(one[key], other[key]) for key in other)
    assert skipping.skipped_rows() == {"t": {"train": counts, "eval": counts}}
    assert alone.skipped_rows() == {}
    facts = skipping.splits()["t"]["train"].facts()
    assert (facts.rows, facts.unlabelled, facts.skipped) == (6, int(name == "text"), counts)
    [first] = [
        line for line in caplog.messages if line.startswith("task 't', train: of 6 rows, 2 rows skipped: ")
    ]
    assert f"(first: row 1: {told}" in first and all(
        f"{n} × {reason}" in first for reason, n in counts.items()
    )


@pytest.mark.parametrize("name", CASES)
def test_a_streams_bad_rows_are_counted_once(
    trainer_of: Callable[..., MultiTaskTrainer], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    base, declared, rows, counts, _ = CASES[name]
    task = Task("t", train=_streamed(rows), on_bad_row="skip", max_steps=8, **declared)
    trainer = trainer_of(base, task)
    source = trainer.sources["t"]
    assert not source.skipped and not caplog.messages
    source.batch(0)
    state = source.state_dict()
    following = [source.batch(step) for step in range(1, 7)]
    assert trainer.skipped_rows() == {"t": {"train": counts}}  # after more than two epochs
    assert sum("of all 6 rows of the stream, 2 rows skipped: " in line for line in caplog.messages) == 1
    source.restart()
    assert not source.skipped
    source.load_state_dict(state)
    again = [source.batch(step) for step in range(1, 7)]
    assert [[own.row for own in batch] for batch in again] == [
        [own.row for own in batch] for batch in following
    ]
    assert trainer.skipped_rows() == {"t": {"train": counts}}


def test_an_image_on_its_side_is_read_as_datasets_reads_it(bases: Callable[[str], Path]) -> None:
    """Rows are read as bytes; turning them upright is not lost."""
    from hf_mtl.data import pixel_values, with_raw_images
    from hf_mtl.models import load_processor

    file = io.BytesIO()
    sideways = picture(0, (12, 18))
    exif = sideways.getexif()
    exif[0x0112] = 6
    sideways.save(file, "PNG", exif=exif)
    rows = _images(file.getvalue())
    assert rows[0]["image"].size == (12, 18)  # turned: it is 18 wide in the file
    processor = load_processor(bases("vit"))
    read = [pixel_values(own[0]["image"], processor) for own in (rows, with_raw_images(rows))]  # type: ignore[arg-type]  # of images
    assert torch.equal(*read)


@pytest.mark.parametrize("streamed", [False, True])
def test_an_image_of_a_fixed_mode_is_read_as_datasets_reads_it(
    bases: Callable[[str], Path], streamed: bool
) -> None:
    from hf_mtl.data import pixel_values, with_raw_images
    from hf_mtl.models import load_processor

    rows = _images(_png(1, "RGBA"), _png(2, "LA"), _png(3), mode="RGB")
    processor = load_processor(bases("vit"))
    raw = with_raw_images(_streamed(rows) if streamed else rows)
    for decoded, own in zip(rows, raw, strict=True):
        assert isinstance(decoded, dict) and isinstance(own, dict)
        assert isinstance(own["image"]["bytes"], bytes)
        read = [pixel_values(row["image"], processor) for row in (decoded, own)]  # type: ignore[arg-type]  # of images
        assert torch.equal(*read)


def test_a_late_bad_row_of_a_stream_ends_the_run(trainer_of: Callable[..., MultiTaskTrainer]) -> None:
    rows = [{"prompt": "a", "completion": "b"}] * 40 + [{"prompt": "a", "completion": ""}]
    trainer = trainer_of("llama", Task("t", train=_streamed(Dataset.from_list(rows)), max_steps=50))
    with pytest.raises(
        DataError, match=r"^task 't', train, streamed row \d+: the completion '' .* on_bad_row='skip'"
    ):
        for step in range(14):
            trainer.sources["t"].batch(step)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_task_without_a_usable_row(trainer_of: Callable[..., MultiTaskTrainer], streamed: bool) -> None:
    rows = Dataset.from_list([{"prompt": "a", "completion": ""}] * 3)
    told = (
        "all 3 rows of the stream have no label or cannot be used"
        if streamed
        else "none of the 3 rows can be used"
    )
    with pytest.raises(
        DataError, match=rf"^task 't', train: {told}.*3 rows skipped: 3 × empty answer \(first: row"
    ):
        trainer_of(
            "llama", Task("t", train=_streamed(rows) if streamed else rows, max_steps=2, on_bad_row="skip")
        ).train()


def _endless() -> Iterator[dict[str, Any]]:
    number = 0
    while True:
        yield {"text": "a play", "label": "good" if number == 40 else None}
        number += 1


def test_a_stream_without_labels_comes_to_an_end(trainer_of: Callable[..., MultiTaskTrainer]) -> None:
    declared: dict[str, Any] = {"kind": "text-classification", "labels": ["bad", "good"], "max_steps": 2}
    features = Features({"text": Value("string"), "label": Value("string")})
    finite = _streamed(Dataset.from_list([{"text": "a", "label": None}] * 5, features=features))
    with pytest.raises(
        DataError, match="^task 't', train: all 5 rows of the stream have no label .* Name the label"
    ):
        trainer_of("bert", Task("t", train=finite, **declared)).train()
    trainer = trainer_of("bert", Task("t", train=IterableDataset.from_generator(_endless), **declared))
    assert len(trainer.sources["t"].batch(0)) == 1  # the one row with a label
    with pytest.raises(
        DataError, match="^task 't', train: 10,000 rows of the stream one after the other have no lab"
    ):
        trainer.sources["t"].batch(1)


def test_another_word() -> None:
    with pytest.raises(
        ConfigError, match=r"task 't': on_bad_row must be one of 'raise', 'skip', found 'ignore'"
    ):
        Task("t", train=[{"prompt": "a", "completion": "b"}], on_bad_row="ignore")
