"""Rows that can be learned, of four kinds, and a trainer of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, RoutedModel, Task
from hf_mtl.models import load_base
from runs import ARGUMENTS

__all__ = ["LEARNED", "TAGS", "mood_rows", "suite", "trainer_of"]

GOOD, BAD = ["good", "great", "fun"], ["bad", "poor", "awful"]
NAMES, PLACES, REST = ["John", "Mary"], ["Paris", "Acme"], ["lives", "in", "works", "for", "the", "sea"]
TAGS = ["O", "B-PER", "B-LOC"]
LEARNED = ("mood", "names", "where", "count")


def _draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def mood_rows(count: int, seed: int) -> Dataset:
    draw = _draw(seed)
    rows = []
    for i in range(count):
        word = str(draw.choice(GOOD if i % 2 else BAD))
        rows.append(
            {"text": " ".join([*draw.choice(REST, 1 + i % 4), word]), "label": ["bad", "good"][i % 2]}
        )
    return Dataset.from_list(rows)


def tag_rows(count: int, seed: int) -> Dataset:
    draw = _draw(seed)
    rows = []
    for i in range(count):
        words = [str(word) for word in draw.choice([*NAMES, *PLACES, *REST], 2 + i % 5)]
        tags = [1 if word in NAMES else 2 if word in PLACES else 0 for word in words]
        rows.append({"tokens": words, "tags": tags})
    return Dataset.from_list(rows)


def question_rows(count: int, seed: int) -> Dataset:
    draw = _draw(seed)
    rows = []
    for i in range(count):
        words = [str(word) for word in draw.choice(REST, 2 + i % 4)]
        answer = str(draw.choice(PLACES))
        words.insert(int(draw.integers(0, len(words) + 1)), answer)
        body = " ".join(words)
        answers = {"text": [answer], "answer_start": [body.index(answer)]}
        rows.append({"id": f"q{i}", "question": "where ?", "context": body, "answers": answers})
    return Dataset.from_list(rows)


def count_rows(count: int, seed: int) -> Dataset:
    draw = _draw(seed)
    lengths = [1 + int(draw.integers(0, 6)) for _ in range(count)]
    return Dataset.from_list([{"text": " ".join(["sea"] * n), "label": n / 6} for n in lengths])


def suite(**changes: Any) -> dict[str, Task]:
    """Four kinds; `changes` are settings of all of them."""
    lora = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules="all-linear")
    own: dict[str, tuple[Callable[[int, int], Dataset], dict[str, Any]]] = {
        "mood": (mood_rows, {"kind": "text-classification", "labels": ["bad", "good"]}),
        "names": (tag_rows, {"kind": "token-classification", "labels": TAGS}),
        "where": (question_rows, {"kind": {"name": "question-answering", "doc_stride": 4}, "max_length": 48}),
        "count": (count_rows, {"kind": "regression", "metrics": ["mse"]}),
    }
    return {
        name: Task(
            name, train=rows(40 + 7 * i, i), eval=rows(12, 100 + i), adapter=lora, **(options | changes)
        )
        for i, (name, (rows, options)) in enumerate(own.items())
    }


def trainer_of(
    base: Path, out: Path, tasks: dict[str, Task], *, model: RoutedModel | None = None, **changes: Any
) -> MultiTaskTrainer:
    if model is None:
        loaded, identity = load_base(base, hub_id="tests/base")
        model = RoutedModel(loaded, identity=identity)
    args = MultiTaskTrainingArguments(str(out), **(ARGUMENTS | changes))
    return MultiTaskTrainer(model, args, tasks.values(), processing_class=AutoTokenizer.from_pretrained(base))
