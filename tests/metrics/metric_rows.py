"""Rows of every form for the tests of metrics: random, the same in every run."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

TEXT = "the cat sat on a mat while old dogs ran over green hills far away . Home, sweet home!"
WORDS = TEXT.split()
TAGS = ["O", "O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"]

DECLARED: dict[str, dict[str, Any]] = {
    "accuracy": {},
    "chrf": {"word_order": 2},
    "exact_match": {"ignore_case": True},
    "f1": {"average": "macro"},
    "mae": {},
    "matthews_correlation": {},
    "mse": {"squared": False},
    "pearsonr": {},
    "perplexity": {},
    "precision": {"average": "weighted"},
    "recall": {"average": "micro"},
    "roc_auc": {"multi_class": "ovr"},
    "rouge": {},
    "sacrebleu": {"smooth_method": "floor"},
    "seqeval": {},
    "spearmanr": {},
    "squad": {},
    "squad_v2": {"no_answer_threshold": 0.7},
    "token_accuracy": {},
}


@cache
def rows_of(form: str, rows: int = 60) -> tuple[Any, Any]:
    """Predictions and references of one form; about half of them agree."""
    rng = np.random.default_rng(len(form))
    classes = rng.integers(4, size=rows)
    right = rng.random(rows) < 0.5
    guessed = np.where(right, classes, rng.integers(4, size=rows))
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(4, 15))) for _ in range(rows)]
    answers = [text if same else " ".join(text.split()[::2]) for text, same in zip(texts, right, strict=True)]
    lengths = rng.integers(1, 12, size=rows)
    tagged = [[str(tag) for tag in rng.choice(TAGS, size=length)] for length in lengths]
    other = [own if same else [str(tag) for tag in rng.choice(TAGS, size=len(own))]
             for own, same in zip(tagged, right, strict=True)]  # fmt: skip
    asked = [
        {"id": str(row), "answers": {"text": [text, "a mat"] if row % 3 else []}}
        for row, text in enumerate(texts)
    ]
    replies = [
        {
            "id": str(row),
            "prediction_text": text if row % 4 else "",
            "no_answer_probability": float(rng.random()),
        }
        for row, text in enumerate(answers)
    ]
    several = rng.integers(2, size=(rows, 3))
    return {
        "labels": (guessed, classes),
        "several labels": (np.where(rng.random((rows, 3)) < 0.7, several, 1 - several), several),
        "scores": (rng.dirichlet(np.ones(4), size=rows), classes),
        "values": (classes + rng.normal(size=rows), classes.astype(float)),
        "tags": (other, tagged),
        "answers": (replies, asked),
        "texts": (answers, texts),
        "likelihoods": (
            np.stack([rng.random(rows) * 30, rng.integers(1, 9, size=rows)], axis=1),
            [None] * rows,
        ),
        "tokens": ([(int(rng.integers(length + 1)), int(length)) for length in lengths], [None] * rows),
    }[form]


def rows_for(name: str, rows: int = 60) -> tuple[Any, Any]:
    """Rows that a named metric can score."""
    from hf_mtl.metrics import METRICS

    predictions, references = rows_of(METRICS[name].form or "", rows)
    if name == "squad":
        references = [
            {**row, "answers": {"text": row["answers"]["text"] or ["old dogs"]}} for row in references
        ]
    return predictions, references
