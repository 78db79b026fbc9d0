"""Answers to questions about a text, as SQuAD scores them.

Rajpurkar et al. 2016, "SQuAD: 100,000+ Questions for Machine Comprehension of Text", section 6.1: punctuation and
the articles a, an, the are ignored; exact match asks for the same text, F1 is that of the two bags of words; a
question with several answers takes the best. All figures are from 0 to 100.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hf_mtl.errors import DataError
from hf_mtl.metrics.forms import FloatArray, Rows
from hf_mtl.metrics.metric import Metric, Weighted

__all__ = ["Question", "normalised", "questions", "squad", "token_f1"]

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Question:
    """One row: what was predicted, and what is right.

    Args:
        prediction: The predicted answer; empty for none.
        golds: The right answers; none where the question has no answer.
        no_answer_probability: How sure the model is that there is none.
        name: Its id.
        place: The place of its prediction among all of them.
    """

    prediction: str
    golds: tuple[str, ...]
    no_answer_probability: float
    name: str
    place: int


def normalised(text: str) -> str:
    """The text in small letters, without punctuation and articles, its words parted by one space.

    >>> normalised("The  Broncos' (Denver)!")
    'broncos denver'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def token_f1(prediction: str, gold: str, *, both_empty: float) -> float:
    """Harmonic mean of the shares of common words in both texts, once they are normalised.

    >>> round(token_f1("in the old town", "the old town", both_empty=0.0), 2)
    0.8
    """
    given, own = normalised(prediction).split(), normalised(gold).split()
    if not given and not own:
        return both_empty
    common = sum((Counter(given) & Counter(own)).values())
    return 2 * common / (len(given) + len(own))


def questions(predictions: Rows, references: Rows, *, no_answer_probability: bool) -> list[Question]:
    """The references' rows, each with the prediction of its id.

    Args:
        predictions: `{"id", "prediction_text"}`, in any order; of several with one id the last counts, as in SQuAD's
            scripts.
        references: `{"id", "answers": {"text": [...]}}`; their order counts.
        no_answer_probability: Whether each prediction must have one.

    Raises:
        DataError: At a row that lacks a field, or a reference without a prediction.
    """
    given = [
        _row(row, f"predictions row {number}", "prediction_text") for number, row in enumerate(predictions)
    ]
    own = [_row(row, f"references row {number}", "answers") for number, row in enumerate(references)]
    by_id = {str(row["id"]): row for row in given}
    ids = [str(row["id"]) for row in own]
    if missing := [name for name in ids if name not in by_id]:
        twice = next(
            (f" The id {name!r} is that of {n} predictions." for name, n in _counts(given) if n > 1), ""
        )
        raise DataError(
            f"the reference of id {missing[0]!r} has no prediction; {len(missing)} of {len(ids)} have none.{twice}"
        )
    places = {name: place for place, name in enumerate(by_id)}
    return [
        Question(
            _text(by_id[name]["prediction_text"], f"the prediction of id {name!r}", "prediction_text"),
            _golds(reference["answers"], f"the reference of id {name!r}"),
            _probability(by_id[name], f"the prediction of id {name!r}") if no_answer_probability else 0.0,
            name,
            places[name],
        )
        for name, reference in zip(ids, own, strict=True)
    ]


def _row(row: object, where: str, field: str) -> Mapping[str, object]:
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: expected a dictionary with 'id' and {field!r}, found {row!r}.")
    if missing := [name for name in ("id", field) if name not in row]:
        raise DataError(
            f"{where}: expected the fields 'id' and {field!r}, found {sorted(row)}; add {missing[0]!r}."
        )
    return row


def _counts(rows: list[Mapping[str, object]]) -> list[tuple[str, int]]:
    """How many rows have each id, the most frequent first."""
    return Counter(str(row["id"]) for row in rows).most_common()


def _text(value: object, where: str, field: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: {field} must be a text, empty for no answer; found {value!r}.")
    return value


def _golds(answers: object, where: str) -> tuple[str, ...]:
    texts = answers.get("text") if isinstance(answers, Mapping) else None
    if not isinstance(texts, list | tuple | np.ndarray):
        raise DataError(f"{where}: answers must be {{'text': [...]}}, found {answers!r}.")
    return tuple(_text(text, where, "each text of answers") for text in texts)


def _probability(prediction: Mapping[str, object], where: str) -> float:
    value = prediction.get("no_answer_probability")
    if not isinstance(value, float | int | np.number):
        raise DataError(f"{where}: no_answer_probability must be a number from 0 to 1, found {value!r}.")
    return float(value)


def _squad(predictions: Rows, references: Rows) -> Weighted:
    rows = questions(predictions, references, no_answer_probability=False)
    for number, row in enumerate(rows):
        if not row.golds:
            raise DataError(
                f"references row {number}: expected at least one answer, found none; take squad_v2."
            )
    exact = np.array(
        [max(normalised(row.prediction) == normalised(gold) for gold in row.golds) for row in rows]
    )
    f1 = np.array([max(token_f1(row.prediction, gold, both_empty=0.0) for gold in row.golds) for row in rows])

    def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
        all_rows = counts_RN.sum(axis=1)
        return {"exact_match": 100 * (counts_RN @ exact) / all_rows, "f1": 100 * (counts_RN @ f1) / all_rows}

    return figures


squad = Metric(
    "squad", form="answers", weighted=_squad, main="f1", keys=("exact_match", "f1"),
    description="answers that are the same text, and common words, both in per cent",
)  # fmt: skip
