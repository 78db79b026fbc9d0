"""What is measured of a task that writes and names no metrics."""

from __future__ import annotations

from typing import Any

import pytest
from datasets import Dataset, IterableDataset

from hf_mtl import Chat, PromptCompletion, Task

SHORT = [{"q": "run", "a": "ran"}, {"q": "sing", "a": "x" * 127}, {"q": "swim", "a": "swam"}]
TEMPLATE = PromptCompletion("{q}", " {a}")
CLOSED, OPEN = ("exact_match",), ("perplexity", "token_accuracy")


def rows(*answers: str) -> Dataset:
    return Dataset.from_list([{"q": "?", "a": answer} for answer in answers])


@pytest.mark.parametrize(
    ("settings", "metrics"),
    [
        ({"train": Dataset.from_list(SHORT)}, CLOSED),
        ({"train": rows("ran", "x" * 128, "swam")}, OPEN),  # one of 129 characters
        ({"train": rows("x" * 32, "x" * 32, "a")}, OPEN),  # 33 in the median
        ({"train": rows("x" * 31, "x" * 40, "a")}, CLOSED),
        ({"train": rows("x" * 500), "eval": rows("a")}, CLOSED),  # eval rows are what is measured on
        ({"train": rows("x" * 500), "labels": ["x" * 500, "y"]}, CLOSED),
        ({"train": rows("a"), "template": lambda row: {"prompt": "?", "completion": row["a"]}}, OPEN),
        ({"train": IterableDataset.from_generator(rows("a").to_list().__iter__)}, OPEN),
        ({"train": rows("a"), "metrics": ["perplexity"]}, ("perplexity",)),
        ({"train": rows("a"), "kind": "seq2seq-lm"}, CLOSED),
        ({"train": rows("x" * 500), "kind": "seq2seq-lm"}, OPEN),
        ({"train": rows("x" * 500), "kind": "label-scoring", "labels": ["x" * 500, "y"]}, ("accuracy",)),
        ({"train": rows("a").with_transform(lambda batch: 1 / 0)}, OPEN),  # which is not run to find out
    ],
)
def test_by_the_rows(settings: dict[str, Any], metrics: tuple[str, ...]) -> None:
    assert Task("talk", **{"template": TEMPLATE, **settings}).metrics == metrics


def test_chats_are_open() -> None:
    turns = [{"role": "user", "content": "run"}, {"role": "assistant", "content": "ran"}]
    task = Task("talk", train=Dataset.from_list([{"messages": turns}]), template=Chat())
    assert task.metrics == OPEN
