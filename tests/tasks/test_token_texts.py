"""Tokens as texts: whole characters, nothing lost, whatever the tokenizer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from kind_bases import TOKENIZERS
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from hf_mtl.tasks.token_texts import token_texts

TEXTS = [
    "walk",
    "a 👩‍🚀 naïve 日本語 end",
    "line\n\n  two\t.",
    "",
    "x\N{REPLACEMENT CHARACTER}y\N{REPLACEMENT CHARACTER}",
    "é" * 9,
]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_byte_level_tokens_become_whole_characters(tiny_llama: Path, text: str) -> None:
    """Its vocabulary has no merges for these characters: an emoji is four tokens, each of them no text."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    ids = tokenizer(text)["input_ids"]
    parts = token_texts(ids, tokenizer)
    assert "".join(part.text for part in parts) == text
    assert [place for part in parts for place in range(part.start, part.stop)] == list(range(len(ids)))
    if "\N{REPLACEMENT CHARACTER}" not in text:
        assert not any("\N{REPLACEMENT CHARACTER}" in part.text for part in parts)
    assert max((len(part.text) for part in parts), default=0) < 8  # it does not wait to the end of the text


def test_random_texts(tiny_llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    draw = random.Random(0)
    for _ in range(200):
        text = "".join(draw.choice("ab \n.é日👩🏽‍🚀\u0301") for _ in range(draw.randrange(20)))
        parts = token_texts(tokenizer(text)["input_ids"], tokenizer)
        assert "".join(part.text for part in parts) == text
        assert not any("\N{REPLACEMENT CHARACTER}" in part.text for part in parts)


def test_a_broken_end_is_shown(tiny_llama: Path) -> None:
    """What max_length leaves of a character is no character."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    ids = tokenizer("ab👩")["input_ids"]
    assert "".join(part.text for part in token_texts(ids[:-1], tokenizer)) == tokenizer.decode(ids[:-1])


def test_special_tokens_stand_alone(tiny_llama: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    ids = [tokenizer.eos_token_id, *tokenizer("é")["input_ids"], tokenizer.eos_token_id]
    parts = token_texts(ids, tokenizer)
    assert [(part.text, part.special) for part in parts] == [
        ("<|end|>", True),
        ("é", False),
        ("<|end|>", True),
    ]


def test_a_blank_at_a_words_front_is_seen() -> None:
    """A Metaspace decoder drops the blank of a text's first token, which is the difference between two tokens."""
    vocabulary = [("<unk>", 0.0), ("▁fine", -1.0), ("fine", -1.0), ("▁", -2.0), ("<s>", 0.0)]
    bare = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    bare.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    bare.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, bos_token="<s>", unk_token="<unk>")
    assert [part.text for part in token_texts([4, 1, 2, 1], tokenizer)] == ["<s>", " fine", "fine", " fine"]
    assert [part.text for part in token_texts([4, 2], tokenizer)] == ["<s>", "fine"]
    assert [part.text for part in token_texts([1], tokenizer, behind=[2])] == [" fine"]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_sort_of_tokenizer(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    ids = tokenizer("the good old film , awful !")["input_ids"]
    parts = token_texts(ids, tokenizer)
    assert sum(part.stop - part.start for part in parts) == len(ids)
    words = "".join(part.text for part in parts if not part.special)
    assert words.replace(" ", "") == "thegoodoldfilm,awful!"
