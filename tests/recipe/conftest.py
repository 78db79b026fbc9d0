"""A recipe over the two tiny tasks, to be changed by a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

VALID = """\
# hf-mtl train recipe.yaml
model: {id: someone/tiny-llama, dtype: float32}
output_dir: runs/tiny
defaults:
  adapter: {r: 4, lora_alpha: 8, target_modules: all-linear}
  max_length: 64
tasks:
  words:
    train: words.jsonl
    eval: words.jsonl
    template: {prompt: "{text} is", completion: " {label}"}
    labels: [negative, positive]
    metrics: [exact_match, accuracy]
  past tense:
    train: verbs.jsonl
    template: {prompt: "{lemma}:", completion: " {past}"}
    adapter: {r: 2}
training: {max_steps: 2, learning_rate: 1e-3}
"""

Write = Callable[..., Path]


@pytest.fixture
def write(two_tasks: Path) -> Write:
    """Write the valid recipe beside the tasks' rows, with some of its text replaced."""

    def written(changes: dict[str, str] | None = None) -> Path:
        text = VALID
        for old, new in (changes or {}).items():
            assert old in text
            text = text.replace(old, new)
        path = two_tasks / "recipe.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written
