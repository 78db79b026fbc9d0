"""SQuAD's scores on rows that a reader can check by hand."""

from __future__ import annotations

from typing import Any

import pytest

from hf_mtl.errors import DataError
from hf_mtl.metrics import METRICS


def asked(*answers: list[str]) -> list[dict[str, Any]]:
    return [
        {"id": f"q{row}", "answers": {"text": texts, "answer_start": [0] * len(texts)}}
        for row, texts in enumerate(answers)
    ]


def replied(*texts: str | tuple[str, float]) -> list[dict[str, Any]]:
    pairs = [text if isinstance(text, tuple) else (text, 0.0) for text in texts]
    return [
        {"id": f"q{row}", "prediction_text": text, "no_answer_probability": doubt}
        for row, (text, doubt) in enumerate(pairs)
    ]


def figures_of(name: str, predictions: Any, references: Any, **options: object) -> dict[str, float]:
    return METRICS[name].with_options(**options).compute(predictions=predictions, references=references)


@pytest.mark.parametrize(
    ("text", "golds", "exact", "f1"),
    [
        ("Denver Broncos", ["Denver Broncos"], 100, 100),
        ("the  Denver broncos!", ["Denver Broncos"], 100, 100),  # articles, letters, punctuation, spaces
        ("Theo", ["o"], 0, 0),  # no article inside a word
        ("old town", ["the old town hall"], 0, 80),  # 2 of 2 and 2 of 3 words
        ("to be to be", ["to be"], 0, 100 * 2 * 2 / 6),  # a word counts as often as both have it
        ("1976", ["in 1976", "1976"], 100, 100),  # the best of several
        ("in the year 1976", ["in 1976", "year of 1976"], 0, 80),
        ("", ["1976"], 0, 0),
        ("the", ["a"], 100, 0),  # both are nothing once normalised: SQuAD 1.1 finds no common word
    ],
)
def test_squad(text: str, golds: list[str], exact: float, f1: float) -> None:
    figures = figures_of("squad", replied(text), asked(golds))
    assert figures == pytest.approx({"exact_match": exact, "f1": f1})


def test_squad_is_a_mean_over_rows_joined_by_id() -> None:
    predictions = replied("1976", "old town", "nothing")[::-1]
    figures = figures_of("squad", predictions, asked(["1976"], ["the old town hall"], ["all"]))
    assert figures == pytest.approx({"exact_match": 100 / 3, "f1": (100 + 80) / 3})


def test_squad_v2() -> None:
    # q0 right, q1 two common words of five, q2 unanswerable and left empty, q3 unanswerable but answered.
    predictions = replied(("1976", 0.1), ("old town", 0.2), ("", 0.9), ("a guess", 0.6))
    references = asked(["1976"], ["the old town hall"], [], [])
    assert figures_of("squad_v2", predictions, references) == pytest.approx(
        {
            "exact": 50, "f1": 70, "total": 4,
            "HasAns_exact": 50, "HasAns_f1": 90, "HasAns_total": 2,
            "NoAns_exact": 50, "NoAns_f1": 50, "NoAns_total": 2,
            # All unanswerable: 2 right. Past q0: 3, past q1: 3 and 3.8; past q3 one less.
            "best_exact": 75, "best_exact_thresh": 0.1, "best_f1": 95, "best_f1_thresh": 0.2,
        }
    )  # fmt: skip


def test_squad_v2_threshold() -> None:
    predictions = replied(("1976", 0.8), ("a guess", 0.6))
    references = asked(["1976"], [])
    assert figures_of("squad_v2", predictions, references)["exact"] == 50
    # Above 0.5 both count as no answer: wrong for q0, right for q1. A doubt equal to the threshold is not above it.
    figures = figures_of("squad_v2", predictions, references, no_answer_threshold=0.5)
    assert (figures["exact"], figures["HasAns_exact"], figures["NoAns_exact"]) == (50, 0, 100)
    figures = figures_of("squad_v2", predictions, references, no_answer_threshold=0.6)
    assert (figures["HasAns_exact"], figures["NoAns_exact"]) == (0, 0)


def test_squad_v2_of_answers_without_a_word() -> None:
    # An answer that is only an article is no word: the question counts as answerable, and an empty text is right.
    figures = figures_of("squad_v2", replied(""), asked(["the"]))
    assert (figures["exact"], figures["f1"], figures["HasAns_total"]) == (100, 100, 1)
    assert "NoAns_exact" not in figures


def test_squad_v2_best_threshold_keeps_all_unanswerable_when_answers_are_wrong() -> None:
    figures = figures_of("squad_v2", replied(("wrong", 0.3), ("wrong", 0.4)), asked(["right"], []))
    assert (figures["best_exact"], figures["best_exact_thresh"]) == (50, 0)


def test_squad_v2_best_threshold_loses_nothing_by_an_empty_text() -> None:
    figures = figures_of("squad_v2", replied(("", 0.1), ("right", 0.2)), asked([], ["right"]))
    assert (figures["best_exact"], figures["best_exact_thresh"]) == (100, 0.2)


@pytest.mark.parametrize(
    ("name", "predictions", "references", "message"),
    [
        (
            "squad",
            replied("x"),
            asked([]),
            "references row 0: expected at least one answer, found none; take squad_v2.",
        ),
        (
            "squad",
            ["x"],
            asked(["x"]),
            "predictions row 0: expected a dictionary with 'id' and 'prediction_text'",
        ),
        ("squad", [{"id": "q0", "text": "x"}], asked(["x"]), "found ['id', 'text']; add 'prediction_text'."),
        (
            "squad",
            replied("x"),
            [{"id": "q0", "answers": ["x"]}],
            "the reference of id 'q0': answers must be {'text'",
        ),
        (
            "squad",
            replied("x"),
            [{"id": "q7", "answers": {"text": ["x"]}}],
            "the reference of id 'q7' has no prediction",
        ),
        ("squad", [{"id": "q0", "prediction_text": None}], asked(["x"]), "prediction_text must be a text"),
        (
            "squad_v2",
            [{"id": "q0", "prediction_text": "x"}],
            asked(["x"]),
            "no_answer_probability must be a number",
        ),
    ],
)
def test_messages(name: str, predictions: Any, references: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        figures_of(name, predictions, references)
    assert message in str(caught.value)
