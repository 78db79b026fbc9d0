"""Disfl-QA: questions as people speak them, with corrections, on paragraphs of SQuAD; the rows have SQuAD's form.

A. Gupta et al., "Disfl-QA: A Benchmark Dataset for Understanding Disfluencies in Question Answering", Findings of
ACL 2021, in the edition of BIG-bench.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from datasets import Features, List, Value

from hf_mtl.data.conversions.splits import order_key, save_splits
from hf_mtl.errors import DataError

__all__ = ["convert_disfl_qa"]

_FILE: Final = "task.json"
_SEPARATOR: Final = "\ncontext: "
_UNANSWERABLE: Final = "unknown"
# What a spreadsheet wrote in place of some questions.
_LOST_QUESTION: Final = "# VALUE !"
_VALIDATION_SHARE: Final = 5  # one context in five
_FEATURES: Final = Features(
    {
        "id": Value("string"),
        "question": Value("string"),
        "context": Value("string"),
        "answers": {"text": List(Value("string")), "answer_start": List(Value("int32"))},
    }
)


def convert_disfl_qa(source: Path, folder: Path) -> None:
    """Read BIG-bench's file and save train and validation, with no context in both.

    A question that cannot be answered has empty `answers`, as in SQuAD 2. Left out are rows whose question is lost,
    rows that repeat an earlier one, and those few whose answer is the word that also marks the unanswerable ones.
    """
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for number, example in enumerate(json.loads((source / _FILE).read_text(encoding="utf-8"))["examples"]):
        question, _, context = (part.strip() for part in example["input"].partition(_SEPARATOR))
        answer = example["target"].strip()
        is_ambiguous = answer == _UNANSWERABLE and _UNANSWERABLE in context.split()
        if _LOST_QUESTION in question or is_ambiguous:
            continue
        answers = _no_answer() if answer == _UNANSWERABLE else _located(answer, context, number)
        rows.setdefault(
            (question, context),
            {"id": str(number), "question": question, "context": context, "answers": answers},
        )
    contexts = sorted({context for _, context in rows}, key=order_key)
    held_out = set(contexts[: len(contexts) // _VALIDATION_SHARE])
    scattered = sorted(rows, key=lambda pair: order_key("\n".join(pair)))
    splits = {
        "train": [rows[pair] for pair in scattered if pair[1] not in held_out],
        "validation": [rows[pair] for pair in scattered if pair[1] in held_out],
    }
    save_splits(splits, _FEATURES, folder)


def _no_answer() -> dict[str, list[object]]:
    return {"text": [], "answer_start": []}


def _located(answer: str, context: str, number: int) -> dict[str, list[object]]:
    """Find the answer, which has the spaces of ordinary text, in a context whose tokens are set apart by spaces.

    The first place where whole tokens match is taken, else the first at all; the text is the context's own.
    """
    pattern = r"\s*".join(re.escape(character) for character in "".join(answer.split()))
    found = re.search(rf"(?<!\S){pattern}(?!\S)", context) or re.search(pattern, context)
    if found is None:
        raise DataError(f"{_FILE}, example {number}: the answer {answer!r} does not stand in its context.")
    return {"text": [found.group()], "answer_start": [found.start()]}
