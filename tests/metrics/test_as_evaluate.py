"""Rows at the edges: the figures are those that `evaluate`'s modules give, which were run beside ours."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from seqeval.metrics import accuracy_score, classification_report
from seqeval.metrics.sequence_labeling import get_entities

from hf_mtl.errors import ConfigError, DataError
from hf_mtl.metrics import METRICS

SEEDS = range(40)


def figures_of(name: str, predictions: Any, references: Any, **options: object) -> dict[str, float]:
    return METRICS[name].with_options(**options).compute(predictions=predictions, references=references)


# --- exact_match: texts of which nothing is left are the same


@pytest.mark.parametrize(
    ("options", "predictions", "references", "expected"),
    [
        ({"ignore_numbers": True}, ["12", "12"], ["13", "12"], 1.0),
        ({"regexes_to_ignore": [".*"]}, ["a", "b"], ["c", "b"], 1.0),
        ({"regexes_to_ignore": ["x"]}, ["x", "xb"], ["", "b"], 1.0),
        ({"ignore_punctuation": True}, ["!", "?"], [".", "a"], 0.5),
        ({"ignore_punctuation": True, "ignore_numbers": True}, ["!1", "?"], [".", "a"], 0.5),
        ({"ignore_case": True, "ignore_numbers": True}, ["1", "2"], ["3", "4"], 1.0),
        ({"regexes_to_ignore": ["A"], "ignore_case": True}, ["aA ", "b"], ["a", "b"], 0.5),
        ({"ignore_case": True}, ["", ""], ["", "a"], 0.5),
        ({}, ["", ""], ["", "a"], 0.5),
    ],
)
def test_exact_match(
    options: dict[str, Any], predictions: list[str], references: list[str], expected: float
) -> None:
    assert figures_of("exact_match", predictions, references, **options) == {"exact_match": expected}
    in_lists = [["never", gold] for gold in references]
    assert figures_of("exact_match", predictions, in_lists, **options) == {"exact_match": expected}


def test_exact_match_of_texts_that_are_too_long_for_an_expression() -> None:
    """One that begins at every place and reads on to the end: 10^10 steps here."""
    text = "x" * 100_000
    with pytest.raises(ConfigError, match="'.*y' is refused for texts of up to 100,000 characters"):
        figures_of("exact_match", [text], ["y"], regexes_to_ignore=[".*y"])
    assert figures_of("exact_match", [text], ["x"], regexes_to_ignore=["x(?=x)"]) == {"exact_match": 1.0}


# --- roc_auc, also where a class has no rows


def _area(actual: Any, scores: Any) -> float:
    """The share of the pairs of a right place and a wrong one that are in order; ties count half."""
    right, wrong = scores[actual == 1], scores[actual == 0]
    if not (len(right) and len(wrong)):
        return math.nan
    return float(np.mean((right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)))


def _averaged(actual: Any, scores: Any, average: str) -> float:
    """Of columns, rows or all places, as scikit-learn 1.9 has it; an older one raises where a class has no rows."""
    if average == "micro":
        return _area(actual.ravel(), scores.ravel())
    if average == "samples":
        actual, scores = actual.T, scores.T
    areas = [_area(*sides) for sides in zip(actual.T, scores.T, strict=True)]
    if average != "weighted":
        return float(np.mean(areas))
    rows = actual.sum(axis=0)
    return float(
        sum(area * count for area, count in zip(areas, rows, strict=True) if count) / max(1, rows.sum())
    )


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", "samples"])
def test_roc_auc_of_several_labels(average: str) -> None:
    values = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        actual = (rng.random((rng.integers(1, 9), 3)) < rng.random(3)).astype(int)
        actual[:, 0] *= seed % 2  # without rows in every other case
        scores = rng.random(actual.shape).round(1)
        values.append(figures_of("roc_auc", scores, actual, average=average)["roc_auc"])
        expected = _averaged(actual, scores, average)
        assert values[-1] == pytest.approx(expected, abs=1e-12, nan_ok=True), seed
    assert any(map(math.isfinite, values)) and any(map(math.isnan, values))


def test_roc_auc_micro_with_an_absent_class() -> None:
    # Of 6 places the two that are right have .9 and .4; of the 8 pairs with the others, 7 are in order.
    actual, scores = [[1, 0], [0, 0], [1, 0]], [[0.9, 0.1], [0.5, 0.2], [0.4, 0.3]]
    assert figures_of("roc_auc", scores, actual, average="micro") == {"roc_auc": 7 / 8}
    assert math.isnan(figures_of("roc_auc", scores, actual, average="macro")["roc_auc"])
    # The class without rows has no weight; in the other one of two pairs is in order.
    assert figures_of("roc_auc", scores, actual, average="weighted") == {"roc_auc": 0.5}
    nothing = [[0, 0]] * 3
    assert math.isnan(figures_of("roc_auc", scores, nothing, average="micro")["roc_auc"])
    assert figures_of("roc_auc", scores, nothing, average="weighted") == {"roc_auc": 0.0}


@pytest.mark.parametrize(
    ("way", "average"),
    [("ovr", "macro"), ("ovr", "weighted"), ("ovr", "micro"), ("ovo", "macro"), ("ovo", "weighted")],
)
def test_roc_auc_of_classes_without_rows(way: str, average: str) -> None:
    """Of all the classes that there are scores for."""
    values = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        actual = rng.integers(4 - seed % 3, size=rng.integers(2, 12))
        if len(np.unique(actual)) < 2:
            continue
        scores = rng.dirichlet(np.ones(4), size=len(actual))
        options = {"multi_class": way, "average": average}
        values.append(figures_of("roc_auc", scores, actual, **options)["roc_auc"])
        if way == "ovo":
            expected = sk.roc_auc_score(actual, scores, labels=np.arange(4), **options)
        else:
            expected = _averaged((actual[:, None] == np.arange(4)).astype(int), scores, average)
        assert values[-1] == pytest.approx(expected, abs=1e-12, nan_ok=True), seed
    assert any(map(math.isfinite, values))
    assert any(map(math.isnan, values)) is (way == "ovr" and average == "macro")


def test_roc_auc_of_one_class_only_and_averages_that_do_not_fit() -> None:
    scores = [[0.2, 0.3, 0.5]] * 2
    assert math.isnan(figures_of("roc_auc", scores, [1, 1], multi_class="ovo")["roc_auc"])
    assert math.isnan(figures_of("roc_auc", scores, [1, 1], multi_class="ovr")["roc_auc"])
    for options in ({"multi_class": "ovo", "average": "micro"}, {"multi_class": "ovr", "average": "samples"}):
        with pytest.raises(ConfigError, match="is for several labels a row"):
            figures_of("roc_auc", scores, [1, 2], **options)
    for options in ({"average": "micro"}, {"average": "micro", "multi_class": "ovr"}):
        with pytest.raises(
            ConfigError, match="average 'micro' is for several labels a row, or for multi_class"
        ):
            figures_of("roc_auc", [0.1, 0.9], [0, 1], **options)


# --- seqeval: tags of any scheme, without naming it


def _tags(rng: np.random.Generator, letters: str, *, suffix: bool) -> list[str]:
    chosen = [str(letter) for letter in rng.choice([*letters, "O", "O"], size=rng.integers(1, 8))]
    kinds = [str(kind) for kind in rng.choice(["PER", "LOC", "A-B"], size=len(chosen))]
    return [
        letter if letter == "O" else (f"{kind}-{letter}" if suffix else f"{letter}-{kind}")
        for letter, kind in zip(chosen, kinds, strict=True)
    ]


@pytest.mark.filterwarnings(
    "ignore:.* seems not to be NE tag:UserWarning"
)  # seqeval, called by the test itself
@pytest.mark.parametrize("suffix", [False, True])
@pytest.mark.parametrize("letters", ["BILU", "BMES", "BMEW", "BIES", "LU", "BIESLU"])
def test_seqeval_without_a_scheme(letters: str, suffix: bool) -> None:
    options = {"suffix": True} if suffix else {}
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        actual = [_tags(rng, letters, suffix=suffix) for _ in range(6)]
        predicted = [
            row if rng.random() < 0.5 else [str(tag) for tag in rng.permutation(row)] for row in actual
        ]
        if not any(get_entities(row, suffix) for row in actual):
            continue  # seqeval's report is of entities
        report = classification_report(actual, predicted, output_dict=True, zero_division=0, **options)
        figures = figures_of("seqeval", predicted, actual, **options)
        assert figures["overall_accuracy"] == pytest.approx(accuracy_score(actual, predicted), abs=1e-12)
        for line, scores in report.items():
            prefix = {"micro avg": "overall"}.get(line, line)
            if line in ("macro avg", "weighted avg"):
                continue
            for key, column in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
                assert figures[f"{prefix}_{key}"] == pytest.approx(scores[column], abs=1e-12), (seed, line)


def test_seqeval_of_bilou_by_hand() -> None:
    rows = [["B-PER", "L-PER", "U-LOC", "O"]]
    assert figures_of("seqeval", rows, rows)["overall_f1"] == 1.0
    # Without the scheme U begins nothing, so that two of them are one entity; with it they are two.
    predicted, actual = [["U-PER", "U-PER", "O", "B-LOC", "L-LOC"]], [["U-PER", "O", "O", "B-LOC", "I-LOC"]]
    figures = figures_of("seqeval", predicted, actual)
    assert (figures["overall_precision"], figures["overall_recall"], figures["overall_accuracy"]) == (
        0.5,
        0.5,
        0.6,
    )
    strict = figures_of("seqeval", predicted, predicted, mode="strict", scheme="BILOU")
    assert (strict["PER_number"], strict["LOC_number"]) == (2, 1)


@pytest.mark.parametrize(
    ("tag", "options"),
    [
        ("NOUN", {}), ("B_PER", {}), ("B-", {}), ("O-PER", {}), ("-PER", {}), ("3-PER", {}), ("L", {}), ("", {}),
        ("B-PER", {"suffix": True}), ("L-PER", {"mode": "strict", "scheme": "IOB2"}),
        ("S-PER", {"mode": "strict", "scheme": "BILOU"}),
    ],
)  # fmt: skip
def test_what_is_no_tag_of_an_entity(tag: str, options: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="references row 1: expected 'O' or tags of entities"):
        figures_of("seqeval", [["O"], ["O"]], [["O"], [tag]], **options)


# --- squad: an id twice


def asked(*rows: tuple[str, list[str]]) -> list[dict[str, Any]]:
    return [{"id": name, "answers": {"text": texts}} for name, texts in rows]


def replied(*rows: tuple[str, str, float]) -> list[dict[str, Any]]:
    return [
        {"id": name, "prediction_text": text, "no_answer_probability": doubt} for name, text, doubt in rows
    ]


TWICE = (
    replied(("q0", "x", 0.25), ("q1", "old town", 0.1), ("q0", "y", 0.5)),
    asked(("q0", ["x"]), ("q1", ["the old town hall"]), ("q0", ["y", "z"])),
)


def test_the_last_prediction_of_an_id_answers_all_its_references() -> None:
    assert figures_of("squad", *TWICE) == pytest.approx({"exact_match": 100 / 3, "f1": 60})
    both = replied(("q0", "x", 0.0), ("q0", "y", 0.0)), asked(("q0", ["x"]), ("q0", ["y"]))
    assert figures_of("squad", *both) == {"exact_match": 50, "f1": 50}
    once = replied(("q0", "x", 0.0), ("q1", "y", 0.0)), asked(("q0", ["x"]), ("q0", ["y"]))
    assert figures_of("squad", *once) == {"exact_match": 50, "f1": 50}


def test_in_squad_v2_an_id_is_one_question() -> None:
    figures = figures_of("squad_v2", *TWICE)
    assert figures == pytest.approx(
        {
            "exact": 50, "f1": 90, "total": 2, "HasAns_exact": 50, "HasAns_f1": 90, "HasAns_total": 2,
            "best_exact": 50, "best_exact_thresh": 0.5, "best_f1": 90, "best_f1_thresh": 0.5,
        }
    )  # fmt: skip
    # The last reference of q0 has no answer, and its last prediction is too unsure to count as one.
    rows = (
        replied(("q0", "x", 0.2), ("q1", "", 0.1), ("q0", "y", 0.6)),
        asked(("q0", ["y"]), ("q1", []), ("q0", [])),
    )
    figures = figures_of("squad_v2", *rows, no_answer_threshold=0.5)
    assert (figures["exact"], figures["NoAns_total"], figures.get("HasAns_total")) == (100, 2, None)


def test_in_squad_v2_equally_sure_predictions_count_in_their_own_order() -> None:
    references = asked(("q0", ["good"]), ("q1", []))
    first, second = replied(("q0", "good", 0.5), ("q1", "bad", 0.5))
    assert figures_of("squad_v2", [first, second], references)["best_exact"] == 100
    assert figures_of("squad_v2", [second, first], references)["best_exact"] == 50


def test_a_reference_without_a_prediction_is_told_with_what_may_be_the_reason() -> None:
    predictions, references = replied(("q0", "x", 0.0), ("q0", "y", 0.0)), asked(("q0", ["x"]), ("q1", ["y"]))
    for name in ("squad", "squad_v2"):
        with pytest.raises(
            DataError, match=r"id 'q1' has no prediction; 1 of 2 have none\. The id 'q0' is that of 2"
        ):
            figures_of(name, predictions, references)
