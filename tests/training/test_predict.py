"""What `predict` answers is what the model writes by itself, not what it finds likely after the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from runs import rows, tasks, trainer_of


def test_texts_are_those_of_greedy_decoding(tiny_llama: Path, tmp_path: Path) -> None:
    """A new LoRA changes nothing, so the stock base writes the same."""
    asked = rows("verbs", 3)
    output: Any = trainer_of(tiny_llama, tmp_path, tasks()).predict({"verbs": asked})
    base: Any = AutoModelForCausalLM.from_pretrained(tiny_llama)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    longest = max(len(tokenizer(f" {label}")["input_ids"]) for label in asked["label"]) + 1  # and the end
    expected = []
    for text in asked["text"]:
        inputs = tokenizer(f"{text}:", return_tensors="pt")
        whole = base.generate(**inputs, max_new_tokens=longest, do_sample=False)
        written = whole[0, inputs["input_ids"].shape[1] :]
        expected.append(tokenizer.decode(written, skip_special_tokens=True))
    assert output.predictions["verbs"] == expected
    assert not set(expected) & set(output.label_ids["verbs"])
