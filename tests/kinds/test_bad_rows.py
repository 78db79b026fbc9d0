"""Rows that cannot be used: the message names task, split, row, what was found and what would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from kind_bases import picture
from kind_cases import ours, question

from hf_mtl.errors import DataError
from hf_mtl.tasks import Task

LABELS = ["bad", "fine", "good"]
GOOD: dict[str, dict[str, Any]] = {
    "text-classification": {"text": "a bad play", "label": "bad"},
    "regression": {"text": "a bad play", "label": 0.5},
    "token-classification": {"tokens": ["a", "play"], "tags": ["bad", "fine"]},
    "question-answering": question("the river flows to the sea", "the sea"),
    "image-classification": {"image": picture(0), "label": "bad"},
    "causal-lm": {"prompt": "a", "completion": "b"},
    "label-scoring": {"prompt": "a", "completion": "bad"},
}
BASES = {"image-classification": "vit", "causal-lm": "llama", "label-scoring": "llama"}


@dataclass(frozen=True)
class Bad:
    """A row that cannot be used, as the second behind a good one.

    Args:
        kind: The kind.
        row: What is different in it.
        message: What is told, behind task, split and row.
        task: What the task declares otherwise.
        options: Those of the kind.
        good: What is different in the first row.
        at: The row that is told; 0 where a column of one type cannot hold a good row beside it.
    """

    kind: str
    row: dict[str, Any]
    message: str
    task: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    good: dict[str, Any] = field(default_factory=dict)
    at: int = 1


TEXT, TAGS, SPANS = "text-classification", "token-classification", "question-answering"
MULTI = {"problem_type": "multi_label"}
BAD = [
    Bad(
        TEXT,
        {"label": 3},
        r"the label 3 is out of range: expected a number from 0 to 2, for the labels \['bad', 'fine', 'good'\] "
        r"\(None or -100 for a row without one\)",
        good={"label": 0},
    ),
    Bad(TEXT, {"label": -1}, "the label -1 is out of range", good={"label": 0}),
    Bad(
        TEXT,
        {"label": "god"},
        r"the label 'god' is not one of the labels \['bad', 'fine', 'good'\]. Did you mean 'good'\?",
    ),
    Bad(
        TEXT,
        {"label": "bad"},
        r"the label is 'bad' \(str\); expected a number from 0 to 2. Declare the labels' names \(labels=\[...\]\)",
        {"labels": 3},
        good={"label": "bad"},
        at=0,
    ),
    Bad(TEXT, {"label": 1.5}, r"the label is 1.5 \(float\); expected one of \['bad'", good={"label": None}),
    Bad(TEXT, {"text": "  "}, "the text is empty; expected text."),
    Bad(TEXT, {"text": None}, r"the text is None \(NoneType\); expected text."),
    Bad(TEXT, {"second": ""}, "the text_pair is empty", {"columns": {"text_pair": "second"}}, good={"second": "b"}),
    Bad(
        TEXT,
        {"label": ["bad", "god"]},
        "the label 'god' is not one of the labels .* Did you mean 'good'",
        options=MULTI,
        good={"label": ["bad"]},
    ),
    Bad(TEXT, {"label": [1.0, 0.0]}, "the label has 2 values; expected 3", options=MULTI,
        good={"label": [1.0, 0.0, 1.0]}),
    Bad(
        TEXT,
        {"label": [1.0, 0.5, 0.0]},
        r"the label is \[1.0, 0.5, 0.0\]; expected only 0.0, 1.0 and None",
        options=MULTI,
        good={"label": [0.0, 0.0, 1.0]},
    ),
    Bad(TEXT, {"label": "bad"}, "the label is 'bad'; expected a list of labels, or one of 0.0", options=MULTI,
        good={"label": None}),
    Bad("regression", {"label": float("nan")}, r"the label is nan \(float\); expected a finite number"),
    Bad("regression", {"label": float("inf")}, r"the label is inf \(float\); expected a finite number"),
    Bad("regression", {"label": "much"}, r"the label is 'much' \(str\); expected a finite", good={"label": None}),
    Bad(
        "regression",
        {"label": [1.0, 2.0]},
        r"the label \[1.0, 2.0\] has 2 numbers; expected outputs=3",
        options={"outputs": 3},
        good={"label": [1.0, 2.0, 3.0]},
    ),
    Bad(
        TAGS,
        {"tags": ["bad"]},
        r"there are 2 words but 1 tags; expected one tag per word. Words: \['a', 'play'\]; tags: \['bad'\]",
    ),
    Bad(TAGS, {"tags": ["bad", "god"]}, r"the tag of word 1 \('play'\) 'god' is not one of the labels .* Did you mean"),
    Bad(TAGS, {"tags": [0, 7]}, r"the tag of word 1 \('play'\) 7 is out of range", good={"tags": [0, 1]}),
    Bad(TAGS, {"tokens": ["a", " "]}, "word 1 of the tokens is ' '; expected text that is not blank"),
    Bad(TAGS, {"tokens": [], "tags": []}, "the tokens are empty; expected at least one word"),
    Bad(TAGS, {"tokens": "a play"}, r"the tokens are 'a play' \(str\); expected a list of words",
        good={"tokens": "a play"}, at=0),
    Bad(
        SPANS,
        {"answers": {"text": ["the lake"], "answer_start": [4]}},
        "the answer 'the lake' is not in its context at character 4; found 'river fl' there",
    ),
    Bad(SPANS, {"answers": {"text": ["sea"], "answer_start": [-3]}}, "the answer 'sea' is not in its context at"),
    Bad(SPANS, {"answers": {"text": [], "answer_start": []}}, "the question has no answer; declare .*unanswerable"),
    Bad(SPANS, {"answers": {"text": ["sea"], "answer_start": []}}, "the answers have 1 texts but 0 starts"),
    Bad(SPANS, {"question": " "}, "the question is empty"),
    Bad(
        SPANS,
        {"question": "who " * 40},
        r"the question has \d+ tokens, which leaves \d+ of a window of 48 for the context; expected more than "
        "doc_stride=16. Raise max_length or lower doc_stride",
    ),
    Bad("causal-lm", {"completion": ""}, "the completion '' becomes no token at all"),
    Bad("label-scoring", {"completion": "god"},
        r"the completion 'god' is not one of the labels' completions \['bad', 'fine', 'good'\]. Did you mean 'good'"),
    Bad("label-scoring", {"prompt": "a " * 10}, "the completion .bad. was cut off at max_length=12",
        {"max_length": 12}),
]  # fmt: skip


def _rows(bad: Bad) -> Dataset:
    first = GOOD[bad.kind] | bad.good
    second = GOOD[bad.kind] | bad.good | bad.row
    return Dataset.from_list([first, second])


def _task(bad: Bad) -> Task:
    declared: dict[str, Any] = {"metrics": []}
    if bad.kind in (TEXT, TAGS, "label-scoring", "image-classification"):
        declared["labels"] = LABELS
    if bad.kind == SPANS:
        declared |= {"max_length": 48}
    options = ({"doc_stride": 16} if bad.kind == SPANS else {}) | bad.options
    return Task("mood", eval=_rows(bad), kind={"name": bad.kind} | options, **(declared | bad.task))


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.kind}: {bad.row}"[:60])
def test_the_row_is_told(bases: Callable[[str], Path], bad: Bad) -> None:
    with pytest.raises(DataError, match=rf"^task 'mood', eval, row {bad.at}: {bad.message}"):
        ours(bases(BASES.get(bad.kind, "bert")), _task(bad), dtype="float32")
