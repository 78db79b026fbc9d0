"""Words and tags through tokenizers of several sorts: a tag stands at its word's first token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from kind_bases import TOKENIZERS
from kind_cases import Ours, ours
from transformers import PreTrainedTokenizerFast

from hf_mtl import TaskSuite
from hf_mtl.data import Example
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.evaluation import Evaluator
from hf_mtl.tasks import Context, Task, TokenClassification
from hf_mtl.tasks.kinds import Declared

SENTENCES = [
    ["John", "Smith", "lives", "in", "Paris", "."],
    ["the", "unbelievable", "river", ",", "it's", "walking"],
    ["a"],
    ["good-old", "1999", "film's", "(", "fun", ")"],
]
KIND = TokenClassification()


def _context(tokenizer: Any, *, longest: int | None = None) -> Context:
    return Context(Declared(labels=tuple("abcdefghij"), max_length=longest), tokenizer)


def _read(words: list[str], context: Context, tags: list[Any] | None = None) -> list[Example]:
    return KIND.examples({"tokens": words, "tags": tags or list(range(len(words)))}, context)


@pytest.mark.parametrize("name", ["wordpiece", "unigram"])
@pytest.mark.parametrize("words", SENTENCES, ids=" ".join)
def test_places_are_those_of_split_words(name: str, words: list[str]) -> None:
    """Tokenizers to which a blank is no token of its own, or the beginning of every word."""
    tokenizer = TOKENIZERS[name]()
    encoded = tokenizer(words, is_split_into_words=True)
    numbers = encoded.word_ids(0)
    [example] = _read(words, _context(tokenizer))
    assert example.input_ids == encoded["input_ids"]
    assert example.label_positions == [numbers.index(word) for word in range(len(words))]
    assert example.label_ids == list(range(len(words)))


@pytest.mark.parametrize("name", ["bpe", "roberta", "modernbert"])
@pytest.mark.parametrize("words", SENTENCES, ids=" ".join)
def test_byte_level_places_are_those_of_words_with_their_blanks(name: str, words: list[str]) -> None:
    """To a byte-level tokenizer a word is another one without the blank before it; it reads the sentence as text."""
    tokenizer = TOKENIZERS[name]()
    [example] = _read(words, _context(tokenizer))
    assert example.input_ids == tokenizer(" ".join(words))["input_ids"]
    spaced = [words[0], *(f" {word}" for word in words[1:])]
    pieces = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in spaced]
    frame = 0 if name == "bpe" else 1
    starts = [frame + sum(map(len, pieces[:i])) for i in range(len(words))]
    assert example.label_positions == starts


@pytest.mark.parametrize("name", TOKENIZERS)
def test_truncated_words_have_no_place(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    words = SENTENCES[1]
    [whole] = _read(words, _context(tokenizer))
    [cut] = _read(words, _context(tokenizer, longest=len(whole.input_ids) - 4))
    assert cut.truncated and not whole.truncated
    assert len(cut.input_ids) == len(whole.input_ids) - 4
    kept = len(cut.label_positions)
    assert 0 < kept < len(words)
    assert cut.label_positions == whole.label_positions[:kept]
    assert cut.label_ids == whole.label_ids[:kept]
    assert cut.weight == kept


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("unknown", [None, -100])
def test_tags_that_are_not_known_have_no_place(name: str, unknown: int | None) -> None:
    context = _context(TOKENIZERS[name]())
    [whole] = _read(SENTENCES[0], context)
    [fewer] = _read(SENTENCES[0], context, [0, unknown, 2, unknown, 4, 5])
    assert fewer.label_ids == [0, 2, 4, 5]
    assert fewer.label_positions == [whole.label_positions[i] for i in (0, 2, 4, 5)]
    assert fewer.weight == 4
    assert _read(SENTENCES[0], context, [unknown] * 6) == []


def test_a_word_that_becomes_no_token_has_no_place() -> None:
    """BERT's normalizer drops control characters, and with them a word that is made of them."""
    [example] = _read(["a", "\u200b", "film"], _context(TOKENIZERS["wordpiece"]()))
    assert example.label_ids == [0, 2]
    assert len(set(example.label_positions)) == 2


@pytest.mark.parametrize("name", ["bpe", "wordpiece", "unigram"])
def test_characters_of_several_bytes(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    words = ["naïve", "東京", "😀", "film"]
    [example] = _read(words, _context(tokenizer))
    assert example.label_ids == [0, 1, 2, 3]
    offsets = tokenizer(" ".join(words), return_offsets_mapping=True)["offset_mapping"]
    text = " ".join(words)
    for word, place in zip(words, example.label_positions, strict=True):
        start, stop = offsets[place]
        assert word.startswith(text[start:stop].strip()) or text[start:stop].strip() == ""


def _slow() -> Any:
    class Slow(PreTrainedTokenizerFast):
        is_fast = False

    made = TOKENIZERS["wordpiece"]()
    return Slow(tokenizer_object=made._tokenizer)  # type: ignore[no-untyped-call]  # its constructor has no types


def test_a_slow_tokenizer_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"token-classification needs a fast tokenizer \(for .*\); Slow is a slow one"
    ):
        _read(SENTENCES[0], _context(_slow()))


TAGS = ["O", "B-PER", "I-PER"]


def _measured(own: Ours, task: Task) -> Any:
    evaluator = Evaluator(own.model, own.processor, TaskSuite([task]), token_budget=64)
    outcomes = evaluator.outcomes()[task.name]
    return task.own_kind.answers("tags", outcomes.found, outcomes.rows, outcomes.context)


def test_words_that_are_cut_off_count_as_outside(bases: Callable[[str], Path]) -> None:
    rows = Dataset.from_list([{"tokens": ["John", "Smith", "lives"] * 3, "tags": [1, 2, None] * 3}])
    task = Task("t", eval=rows, kind="token-classification", labels=TAGS, metrics=[])
    whole = ours(bases("bert"), task, dtype="float32")
    with_bias = whole.model.adapter_parameters("t")["base_model.model.classifier.bias"]
    with_bias.data.copy_(with_bias.new_tensor([-50.0, 0.0, 50.0]))  # every word that is read is I-PER
    answers = _measured(whole, task)
    assert answers.references == [["B-PER", "I-PER"] * 3]
    assert answers.predictions == [["I-PER"] * 6]
    short = _measured(whole, replace(task, max_length=9))
    kept = short.predictions[0].count("I-PER")
    assert short.references == answers.references
    assert 0 < kept < 6 and short.predictions == [["I-PER"] * kept + ["O"] * (6 - kept)]


def test_tags_may_be_missing_in_a_row_but_not_their_number() -> None:
    context = _context(TOKENIZERS["wordpiece"]())
    assert KIND.examples({"tokens": ["a", "film"], "tags": None}, context) == []
    with pytest.raises(DataError, match="there are 2 words but 3 tags"):
        KIND.examples({"tokens": ["a", "film"], "tags": [0, 1, 2]}, context)
