"""A conversation's tokens are those of `apply_chat_template`, on tokenizers and templates that people fine-tune."""

from __future__ import annotations

import pytest
from chat_contract import assert_contract
from chat_renderings import Chats
from conversations import SHAPES, random_conversation
from tokenizers_real import CASES, RealCase, real_tokenizer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_shape_and_random_conversations(case: RealCase) -> None:
    chats = Chats(real_tokenizer(case), case.ends, dict(case.kwargs))
    rows = dict(SHAPES) | {f"seed {seed}": random_conversation(seed) for seed in range(10)}
    assert_contract(chats, rows)
