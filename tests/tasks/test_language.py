"""What a language task compares as texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from hf_mtl.tasks.kinds.language import _last_answer

END = "<|end|>"


@pytest.mark.parametrize(
    ("learned", "answer"),
    [
        (f" ran{END}", " ran"),
        (" ran", " ran"),  # cut off before its end
        (f"ran{END}\n", "ran"),  # a chat template's line break behind the end
        (f"first{END}\nsecond{END}\n", "second"),
        (f"first{END}\n{END}\n", "first"),  # an empty last turn has no text
    ],
)
def test_the_reference_of_a_chat_is_its_last_answer(tiny_llama: Path, learned: str, answer: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    assert _last_answer(tokenizer(learned)["input_ids"], tokenizer) == answer
