"""Texts without a chat template: their tokens are those of `tokenizer(...)`, with one begin and one end token."""

from __future__ import annotations

from typing import Any

import pytest
from chat_renderings import token_spans
from tokenizers_made import TOKENIZERS, made_tokenizer
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import PromptCompletion
from hf_mtl.data.tokens import added_ids
from hf_mtl.heads import Pool
from hf_mtl.tasks.kinds import CausalLM, Context, Declared, TextClassification, TokenClassification

PROMPTS = ("How is it?", "Q: ", "Well?\n", "a\t", "12", "Cafe", "😀", "你好", "  fine", "[INST] e [/INST]")
COMPLETIONS = (" fine", "fine", "\nfine\n", "345", "\u0301", " ", "👩‍👩‍👧", " ½ ﬁne ", "No; it depends.")
LM = CausalLM()


def _context(tokenizer: PreTrainedTokenizerBase) -> Context:
    return Context(Declared(template=PromptCompletion("{prompt}", "{completion}")), tokenizer)


def _plain(text: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """A text's tokens by the tokenizer, begun once and not ended."""
    ids = list(tokenizer(text)["input_ids"])
    ends, begins = tokenizer("")["input_ids"][-1:], tokenizer.bos_token_id
    if ends == [tokenizer.eos_token_id] and ids[-1:] == ends:
        ids.pop()
    return ids[1:] if begins is not None and ids[:2] == [begins, begins] else ids


def _first_learned(prompt: str, completion: str, tokenizer: PreTrainedTokenizerBase) -> int:
    """The first token that holds a character of the completion and that the prompt alone does not hold."""
    alone, whole = _plain(prompt, tokenizer), _plain(prompt + completion, tokenizer)
    shared = next((i for i, (a, b) in enumerate(zip(alone, whole, strict=False)) if a != b), len(alone))
    spans = token_spans(prompt + completion, tokenizer)
    behind = [i for i, (_, end) in enumerate(spans) if end > len(prompt)]
    return max(shared, len(whole) - len(spans) + (behind[0] if behind else len(spans)))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_prompt_and_completion_are_one_text(name: str) -> None:
    tokenizer = made_tokenizer(name)
    context = _context(tokenizer)
    begun = () if tokenizer.bos_token is None else (f"{tokenizer.bos_token}How is it?",)
    for prompt in (*PROMPTS, *begun):
        alone = _plain(prompt, tokenizer)
        assert list(LM.query(prompt, {}, context).prompt_ids) == alone
        assert list(LM.query({"prompt": prompt}, {}, context).prompt_ids) == alone
        for completion in COMPLETIONS:
            ids = [*_plain(prompt + completion, tokenizer), tokenizer.eos_token_id]
            first = _first_learned(prompt, completion, tokenizer)
            if first == len(ids) - 1:  # the tokenizer makes nothing of the completion
                continue
            [example] = LM.examples({"prompt": prompt, "completion": completion}, context)
            case = f"{prompt!r} + {completion!r}"
            assert example.input_ids == ids, case
            assert example.label_ids == ids[first:], case
            assert example.label_positions == list(range(first - 1, len(ids) - 1)), case
            assert example.merged == (ids[: len(alone)] != alone), case


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_pair_of_texts(name: str) -> None:
    tokenizer = made_tokenizer(name)
    columns = {"text": "a", "text_pair": "b"}
    declared = Declared(labels=("no", "yes"), columns=columns)
    context = Context(declared, tokenizer, pool=Pool.LAST)
    for first, second in zip(PROMPTS, reversed(PROMPTS), strict=True):
        encoded: Any = tokenizer(first, second)
        [example] = TextClassification().examples({"a": first, "b": second, "label": "yes"}, context)
        assert example.input_ids == encoded["input_ids"]
        types = encoded.get("token_type_ids", [])
        assert example.token_types == (types if any(types) else [])


@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name != "bytes"])
def test_a_list_of_words(name: str) -> None:
    """Where a blank is part of a word, words are read as the sentence that they stand in."""
    tokenizer = made_tokenizer(name)
    words = ["It", "is", "fine", ",", "Zürich", "😀", "12345", "it's"]
    context = Context(Declared(labels=tuple("abcdefgh")), tokenizer)
    [example] = TokenClassification().examples({"tokens": words, "tags": list(range(len(words)))}, context)
    assert example.input_ids == tokenizer(" ".join(words))["input_ids"]
    if name in ("metaspace-always", "unigram", "wordpiece"):
        assert example.input_ids == tokenizer(words, is_split_into_words=True)["input_ids"]
    assert len(example.label_positions) == len(words)


def test_an_unknown_token_ends_no_turn_but_where_it_is_the_end_token_too() -> None:
    for name in TOKENIZERS:
        tokenizer = made_tokenizer(name)
        ends = added_ids(tokenizer)
        assert tokenizer.eos_token_id in ends
        assert (tokenizer.unk_token_id in ends) == (tokenizer.unk_token_id == tokenizer.eos_token_id)
        assert not any(str(tokenizer.decode([end])).isspace() for end in ends)
