"""Rows as the model sees them: the tokens of training, what is learned, what is cut off, the labels of heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer

from hf_mtl import PromptCompletion, Task
from hf_mtl.models import ConfiguredBase, RoutedModel, context_of, load_base, load_processor
from hf_mtl.tasks import RowEncoder, SeenRow, SeenSequence, encode_split, seen_row

Bases = Callable[[str], Path]
CONTEXT = "the good old film was great fun . John Smith lives in Paris and works for Acme ."
WORDS = ["John", "Smith", "lives", "in", "Paris"]


def _encoder(folder: Path, rows: Sequence[Mapping[str, Any]], **task: Any) -> RowEncoder:
    own = Task("a", train=Dataset.from_list([dict(row) for row in rows]), **task)
    return RowEncoder(own, ConfiguredBase.load(folder).context(own.declared))


def _seen(folder: Path, row: Mapping[str, Any], **task: Any) -> SeenRow:
    return seen_row(_encoder(folder, [row], **task), row, 0)


def _text(sequence: SeenSequence, which: str) -> str:
    pieces = {
        "cut": [piece for piece in sequence.pieces if piece.cut],
        "learned": [piece for piece in sequence.pieces if piece.learned],
        "kept": [piece for piece in sequence.pieces if not piece.cut],
    }
    return "".join(piece.text for piece in pieces[which])


@pytest.mark.parametrize(
    "name", ["llama", "gpt2", "bert", "roberta", "modernbert", "modernbert-mean", "t5", "vit"]
)
def test_a_base_without_weights_says_what_the_loaded_one_says(bases: Bases, name: str) -> None:
    folder = bases(name)
    rows = Dataset.from_list([{"prompt": "a", "completion": "b"}])
    task = Task("a", train=rows, template=PromptCompletion("{prompt}", "{completion}"))
    base, identity = load_base(folder)
    model = RoutedModel(base, identity=identity)
    model.add_adapter("a", LoraConfig(target_modules="all-linear"))
    whole = context_of(model, task, load_processor(folder))
    without = ConfiguredBase.load(folder).context(task.declared)
    assert (whole.pool, whole.longest, whole.max_length) == (
        without.pool,
        without.longest,
        without.max_length,
    )


def test_what_is_learned(tiny_llama: Path) -> None:
    row = {"text": "Ein 👩‍🚀 flog.\n", "label": "naïve"}
    encoder = _encoder(tiny_llama, [row], template=PromptCompletion("{text} is", " {label}"))
    [sequence] = seen_row(encoder, row, 7).sequences
    assert _text(sequence, "learned") == " naïve<|end|>"
    assert _text(sequence, "kept") == "Ein 👩‍🚀 flog.\n is naïve<|end|>"
    task = encoder.task
    assert isinstance(task.train, Dataset)
    [trained] = encode_split(task, task.train, encoder.context, split="train").rows
    assert [token for piece in sequence.pieces for token in piece.ids] == trained["input_ids"]
    learned = [token for piece in sequence.pieces if piece.learned for token in piece.ids]
    assert learned == trained["label_ids"] and sequence.learned == len(learned)


def test_what_is_cut_off(tiny_llama: Path) -> None:
    row = {"text": "good", "label": "positively fine"}
    template = PromptCompletion("{text} is", " {label}")
    [whole] = _seen(tiny_llama, row, template=template).sequences
    [sequence] = _seen(tiny_llama, row, template=template, max_length=whole.tokens - 4).sequences
    assert sequence.tokens == whole.tokens - 4 and sequence.cut == 4 and whole.cut == 0
    assert _text(sequence, "kept") + _text(sequence, "cut") == "good is positively fine<|end|>"
    assert not any(piece.learned for piece in sequence.pieces if piece.cut)


def test_a_row_that_training_refuses(tiny_llama: Path) -> None:
    seen = _seen(
        tiny_llama,
        {"text": "good " * 9, "label": "x"},
        template=PromptCompletion("{text}", "{label}"),
        max_length=3,
    )
    assert seen.sequences == () and seen.problem is not None and "max_length=3" in seen.problem


@pytest.mark.parametrize("name", ["bert", "roberta", "llama"])
def test_a_pair_that_is_cut_in_the_middle(bases: Bases, name: str) -> None:
    row = {"text": CONTEXT, "text_pair": "awful !", "label": "bad"}
    seen = _seen(
        bases(name),
        row,
        kind="text-classification",
        labels=["good", "bad"],
        max_length=14,
        columns={"text_pair": "text_pair"},
    )
    [sequence] = seen.sequences
    tokenizer = AutoTokenizer.from_pretrained(bases(name))
    kept = tokenizer(CONTEXT, "awful !", truncation=True, max_length=14)["input_ids"]
    whole = tokenizer(CONTEXT, "awful !")["input_ids"]
    assert [token for piece in sequence.pieces if not piece.cut for token in piece.ids] == kept
    assert [token for piece in sequence.pieces for token in piece.ids] == whole
    assert sequence.target == "bad" and sequence.learned == 0


def test_several_labels_and_numbers(bases: Bases) -> None:
    several = {
        "kind": {"name": "text-classification", "problem_type": "multi_label"},
        "labels": ["a", "b", "c"],
    }
    targets: dict[str, dict[str, Any]] = {
        "a, c": {"text": "x", "label": ["a", "c"]},
        "no label": {"text": "x", "label": []},
        "b (not known: a)": {"text": "x", "label": [None, 1.0, 0.0]},
    }
    for target, row in targets.items():
        [sequence] = _seen(bases("bert"), row, **several).sequences
        assert sequence.target == target
    [sequence] = _seen(bases("bert"), {"text": "x", "label": 0.25}, kind="regression").sequences
    assert sequence.target == "0.25"
    unlabelled = _seen(
        bases("bert"), {"text": "x", "label": None}, kind="text-classification", labels=["a", "b"]
    )
    assert unlabelled == SeenRow(0)


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_tags_stand_at_their_words(bases: Bases, name: str) -> None:
    row = {"tokens": WORDS, "tags": ["B-PER", "I-PER", "O", None, "B-LOC"]}
    [sequence] = _seen(
        bases(name), row, kind="token-classification", labels=["O", "B-PER", "I-PER", "B-LOC"]
    ).sequences
    labels = [piece.label for piece in sequence.pieces if piece.label is not None]
    assert labels == ["B-PER", "I-PER", "O", "B-LOC"] and sequence.learned == 4
    starts = [piece.text.strip() for piece in sequence.pieces if piece.label is not None]
    assert all(
        word.startswith(start)
        for word, start in zip(["John", "Smith", "lives", "Paris"], starts, strict=True)
    )


def test_an_answer_in_windows(bases: Bases) -> None:
    start = CONTEXT.index("Paris")
    row = {"question": "where ?", "context": CONTEXT, "answers": {"text": ["Paris"], "answer_start": [start]}}
    kind = {"name": "question-answering", "doc_stride": 2}
    seen = _seen(bases("bert"), row, kind=kind, max_length=18)
    assert seen.windows and len(seen.sequences) > 1
    assert not any(piece.cut for sequence in seen.sequences for piece in sequence.pieces)
    holding = [sequence for sequence in seen.sequences if sequence.target is None]
    assert holding and {_text(sequence, "learned").replace(" ", "") for sequence in holding} == {"Paris"}
    assert {sequence.target for sequence in seen.sequences} == {None, "no answer in this text"}
