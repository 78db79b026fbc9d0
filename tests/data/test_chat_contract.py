"""A conversation's tokens are those of `apply_chat_template`: all traits of tokenizers with all of templates."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from chat_contract import assert_contract
from chat_renderings import Chats
from conversations import SHAPES, random_conversation
from datasets import Dataset
from templates_made import TEMPLATES
from tokenizers_made import TOKENIZERS, made_tokenizer

from hf_mtl.data import Chat
from hf_mtl.tasks.kinds import CausalLM, Context, Declared

PAIRS = [(own, template) for own in TOKENIZERS for template in TEMPLATES]
# It says no offsets, so marks of characters say nothing of its tokens: every turn is a sequence of its own.
PAIRS.remove(("bytes", "generation"))


def _quick(tokenizer: str, template: str) -> bool:
    """A quarter of the pairs, with every tokenizer and every template in some of them."""
    return (list(TOKENIZERS).index(tokenizer) + list(TEMPLATES).index(template)) % 4 == 0


def _chats(tokenizer: str, template: str) -> Chats:
    made = TEMPLATES[template]
    loaded = made_tokenizer(tokenizer, made.source)
    ends = tuple(end.replace("{eos}", str(loaded.eos_token)) for end in made.ends)
    return Chats(loaded, ends, dict(made.kwargs))


@pytest.mark.parametrize(
    ("tokenizer", "template"),
    [pytest.param(*pair, marks=() if _quick(*pair) else pytest.mark.slow) for pair in PAIRS],
)
def test_every_shape(tokenizer: str, template: str) -> None:
    assert_contract(_chats(tokenizer, template), SHAPES)


def _without_nulls(value: Any) -> Any:  # Any: JSON
    """A value as it was before Arrow, but for the order of its keys, which is Arrow's."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def test_rows_of_a_data_set() -> None:
    """Arrow gives every message and every row the keys of all of them, with None where there was none."""
    # from_list reads the columns of the first row only.
    names = ("tool calls and their results", "three answers", "thinking", "tools")
    for template in ("tools", "thinking"):
        chats = _chats("byte-level-nfc", template)
        context = Context(Declared(template=Chat()), chats.tokenizer)
        taken = [name for name in names if template == "thinking" or name != "thinking"]
        stored = Dataset.from_list([SHAPES[name] for name in taken])
        for name, row in zip(taken, stored, strict=True):
            plain = _without_nulls(row)
            assert plain == SHAPES[name]
            assert CausalLM().examples(row, context) == CausalLM().examples(plain, context), name


@pytest.mark.parametrize("rows", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_random_conversations(rows: int) -> None:
    seeds = count(1_000 * rows)
    for pair in PAIRS:
        drawn = {
            f"seed {seed}": random_conversation(seed) for seed, _ in zip(seeds, range(rows), strict=False)
        }
        assert_contract(_chats(*pair), drawn)
