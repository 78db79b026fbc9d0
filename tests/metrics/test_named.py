"""Every named metric against the library behind it, its keys, and no network."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from metric_rows import DECLARED, rows_for, rows_of
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from seqeval.metrics import accuracy_score, classification_report
from seqeval.scheme import IOB2

from hf_mtl.errors import ConfigError, DataError
from hf_mtl.metrics import METRICS, resolve

KEYS = {
    "accuracy": {"accuracy"},
    "chrf": {"score", "char_order", "word_order", "beta"},
    "exact_match": {"exact_match"},
    "f1": {"f1"},
    "mae": {"mae"},
    "matthews_correlation": {"matthews_correlation"},
    "mse": {"mse"},
    "pearsonr": {"pearsonr"},
    "perplexity": {"perplexity", "mean_perplexity"},
    "precision": {"precision"},
    "recall": {"recall"},
    "roc_auc": {"roc_auc"},
    "rouge": {"rouge1", "rouge2", "rougeL", "rougeLsum"},
    "sacrebleu": {"score", "bp", "sys_len", "ref_len"}
    | {f"{list_}_{n}" for list_ in ("counts", "totals", "precisions") for n in (1, 2, 3, 4)},
    "seqeval": {"overall_precision", "overall_recall", "overall_f1", "overall_accuracy"}
    | {f"{kind}_{key}" for kind in ("PER", "LOC") for key in ("precision", "recall", "f1", "number")},
    "spearmanr": {"spearmanr"},
    "squad": {"exact_match", "f1"},
    "squad_v2": {
        "exact", "f1", "total", "HasAns_exact", "HasAns_f1", "HasAns_total", "NoAns_exact", "NoAns_f1", "NoAns_total",
        "best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh",
    },
    "token_accuracy": {"token_accuracy"},
}  # fmt: skip
MAIN = {
    "chrf": "score", "rouge": "rougeL", "sacrebleu": "score", "seqeval": "overall_f1", "squad": "f1", "squad_v2": "f1",
}  # fmt: skip
LOWER = {"mae", "mse", "perplexity"}


def figures_of(name: str, rows: tuple[Any, Any], **options: object) -> dict[str, float]:
    return resolve({"name": name, **options}).compute(predictions=rows[0], references=rows[1])


def test_the_names() -> None:
    assert set(METRICS) == set(KEYS) == set(DECLARED)


@pytest.mark.parametrize("name", KEYS)
def test_keys_main_and_direction(name: str) -> None:
    metric = resolve({"name": name, **DECLARED[name]})
    figures = metric.compute(predictions=rows_for(name)[0], references=rows_for(name)[1])
    assert set(figures) == KEYS[name]
    assert all(type(value) is float for value in figures.values())
    assert metric.main_key(figures) == MAIN.get(name, name)
    assert metric.better(metric.main_key(figures)) is (name not in LOWER)


def test_counts_and_thresholds_are_neither_better_nor_worse() -> None:
    neutral = {
        (name, key) for name, keys in KEYS.items() for key in keys if METRICS[name].better(key) is None
    }
    assert neutral == {
        ("chrf", "char_order"), ("chrf", "word_order"), ("chrf", "beta"),
        *(("sacrebleu", f"{key}_{n}") for key in ("counts", "totals") for n in (1, 2, 3, 4)),
        ("sacrebleu", "sys_len"), ("sacrebleu", "ref_len"), ("sacrebleu", "bp"),
        ("seqeval", "PER_number"), ("seqeval", "LOC_number"),
        ("squad_v2", "total"), ("squad_v2", "HasAns_total"), ("squad_v2", "NoAns_total"),
        ("squad_v2", "best_exact_thresh"), ("squad_v2", "best_f1_thresh"),
    }  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_no_socket_is_opened(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a metric opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert figures_of(name, rows_for(name), **DECLARED[name])


SINGLE, SEVERAL = rows_of("labels"), rows_of("several labels")
WEIGHTS = [1.0 + row % 3 for row in range(60)]
CURVES: dict[str, Callable[..., Any]] = {
    "f1": sk.f1_score,
    "precision": sk.precision_score,
    "recall": sk.recall_score,
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize(
    ("rows", "options"),
    [
        ((SINGLE[0] % 2, SINGLE[1] % 2), {}),
        ((SINGLE[0] % 2, SINGLE[1] % 2), {"pos_label": 0}),
        *[(SINGLE, {"average": average}) for average in ("macro", "micro", "weighted")],
        *[(SINGLE, {"average": average, "labels": [3, 1]}) for average in ("macro", "micro", "weighted")],
        *[(SINGLE, {"average": "macro", "sample_weight": WEIGHTS})],
        *[(SEVERAL, {"average": average}) for average in ("macro", "micro", "weighted", "samples")],
        *[(SEVERAL, {"average": "samples", "sample_weight": WEIGHTS})],
    ],
)
def test_scores_of_classes(name: str, rows: tuple[Any, Any], options: dict[str, Any]) -> None:
    expected = CURVES[name](rows[1], rows[0], zero_division=0, **options)
    assert figures_of(name, rows, **options)[name] == pytest.approx(expected, abs=1e-12)
    metric = resolve({"name": name, **options})
    weighted = metric.resampler(*rows)
    assert weighted is not None
    assert weighted(np.ones((2, 60)))[name] == pytest.approx([expected] * 2, abs=1e-12)


def test_a_class_without_rows_or_predictions() -> None:
    rows = [1, 1, 0, 1], [2, 0, 0, 2]  # nobody predicts 2, nothing is 1
    assert figures_of("f1", rows, average="macro")["f1"] == pytest.approx(2 / 9)
    assert figures_of("precision", ([0, 0], [0, 0]))["precision"] == 0.0
    assert figures_of("matthews_correlation", ([1, 1], [0, 1])) == {"matthews_correlation": 0.0}


def test_other_metrics_of_labels() -> None:
    assert figures_of("accuracy", SINGLE)["accuracy"] == sk.accuracy_score(SINGLE[1], SINGLE[0])
    assert figures_of("accuracy", SEVERAL)["accuracy"] == sk.accuracy_score(SEVERAL[1], SEVERAL[0])
    weighted = sk.accuracy_score(SINGLE[1], SINGLE[0], sample_weight=WEIGHTS)
    assert figures_of("accuracy", SINGLE, sample_weight=WEIGHTS)["accuracy"] == weighted
    expected = sk.matthews_corrcoef(SINGLE[1], SINGLE[0])
    assert figures_of("matthews_correlation", SINGLE)["matthews_correlation"] == expected


def test_roc_auc() -> None:
    scores, classes = rows_of("scores")
    for way in ("ovr", "ovo"):
        for average in ("macro", "weighted"):
            expected = sk.roc_auc_score(classes, scores, multi_class=way, average=average)
            assert figures_of("roc_auc", (scores, classes), multi_class=way, average=average) == {
                "roc_auc": expected
            }
    binary = classes % 2
    two = np.stack([1 - scores[:, 0], scores[:, 0]], axis=1)
    expected = sk.roc_auc_score(binary, scores[:, 0])
    assert (
        figures_of("roc_auc", (scores[:, 0], binary))
        == figures_of("roc_auc", (two, binary))
        == {"roc_auc": expected}
    )
    partial = sk.roc_auc_score(binary, scores[:, 0], max_fpr=0.3)
    assert figures_of("roc_auc", (two, binary), max_fpr=0.3) == {"roc_auc": partial}
    labels = SEVERAL[1]
    expected = sk.roc_auc_score(labels, scores[:, :3], average="micro")
    assert figures_of("roc_auc", (scores[:, :3], labels), average="micro") == {"roc_auc": expected}


def test_values() -> None:
    predicted, actual = rows_of("values")
    rows = predicted, actual
    assert figures_of("mse", rows)["mse"] == pytest.approx(
        sk.mean_squared_error(actual, predicted), rel=1e-12
    )
    root = sk.root_mean_squared_error(actual, predicted)
    assert figures_of("mse", rows, squared=False)["mse"] == pytest.approx(root, rel=1e-12)
    assert figures_of("mae", rows)["mae"] == pytest.approx(
        sk.mean_absolute_error(actual, predicted), rel=1e-12
    )
    pearson, spearman = scipy.stats.pearsonr(actual, predicted), scipy.stats.spearmanr(actual, predicted)
    assert figures_of("pearsonr", rows, return_pvalue=True) == {"pearsonr": pearson[0], "p-value": pearson[1]}
    expected = {"spearmanr": spearman[0], "spearmanr_pvalue": spearman[1]}
    assert figures_of("spearmanr", rows, return_pvalue=True) == expected
    lines = np.stack([predicted, 2 * predicted], axis=1), np.stack([actual, actual], axis=1)
    for squared, function in ((True, sk.mean_squared_error), (False, sk.root_mean_squared_error)):
        expected_lines = function(lines[1], lines[0])
        assert figures_of("mse", lines, squared=squared)["mse"] == pytest.approx(expected_lines, rel=1e-12)
    assert figures_of("mae", lines)["mae"] == pytest.approx(
        sk.mean_absolute_error(lines[1], lines[0]), rel=1e-12
    )


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("pearsonr", ([1.0, 1.0], [1.0, 2.0])),
        ("spearmanr", ([1.0], [1.0])),
        ("mse", ([math.nan, 1.0], [1.0, 1.0])),
        ("pearsonr", ([math.nan, 1.0, 2.0], [1.0, 1.0, 3.0])),
        ("roc_auc", ([0.1, 0.4], [1, 1])),
        ("roc_auc", ([0.1, math.nan], [0, 1])),
        ("roc_auc", ([[0.5, 0.2], [0.1, 0.2]], [[0, 1], [1, 1]])),
    ],
)
def test_what_the_rows_do_not_define_is_nan(name: str, rows: tuple[Any, Any]) -> None:
    assert math.isnan(figures_of(name, rows)[name])


@pytest.mark.parametrize("strict", [False, True])
def test_seqeval(strict: bool) -> None:
    predicted, actual = rows_of("tags")
    options = {"mode": "strict", "scheme": "IOB2"} if strict else {}
    own = {"mode": "strict", "scheme": IOB2} if strict else {}
    report = classification_report(actual, predicted, output_dict=True, zero_division=0, **own)
    figures = figures_of("seqeval", (predicted, actual), **options)
    for prefix, line in (("overall", "micro avg"), ("PER", "PER"), ("LOC", "LOC")):
        assert 0 < figures[f"{prefix}_f1"] < 1
        for key, column in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert figures[f"{prefix}_{key}"] == pytest.approx(report[line][column], abs=1e-12)
    assert figures["PER_number"] == report["PER"]["support"]
    assert figures["overall_accuracy"] == pytest.approx(accuracy_score(actual, predicted), abs=1e-12)


def test_seqeval_modes_differ_and_rows_without_entities_score_zero() -> None:
    loose, strict = (figures_of("seqeval", ([["I-PER", "I-PER"]], [["B-PER", "I-PER"]]), **options)["overall_f1"]
                     for options in ({}, {"mode": "strict", "scheme": "IOB2"}))  # fmt: skip
    assert (loose, strict) == (1.0, 0.0)
    assert figures_of("seqeval", ([["PER-B", "O"]], [["PER-B", "O"]]), suffix=True)["PER_f1"] == 1.0
    assert figures_of("seqeval", ([["O", "O"]], [["O", "O"]])) == {
        "overall_precision": 0.0, "overall_recall": 0.0, "overall_f1": 0.0, "overall_accuracy": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize("several", [False, True])
def test_corpus_scores(several: bool) -> None:
    given, golds = rows_of("texts")
    references = [[gold, gold[::-1], "old dogs ran"] for gold in golds] if several else golds
    streams = [list(stream) for stream in zip(*references, strict=True)] if several else [golds]
    bleu_options: list[dict[str, Any]] = [
        {},
        {"smooth_method": "add-k", "lowercase": True},
        {"use_effective_order": True, "tokenize": "char"},
    ]
    for options in bleu_options:
        names = {"use_effective_order": "effective_order"}
        own = {names.get(name, name): value for name, value in options.items()}
        score = BLEU(force=True, **own).corpus_score(given, streams)
        figures = figures_of("sacrebleu", (given, references), **options)
        assert figures["score"] == pytest.approx(score.score, rel=1e-12)
        assert [figures[f"counts_{n}"] for n in (1, 2, 3, 4)] == score.counts
        assert [figures[f"totals_{n}"] for n in (1, 2, 3, 4)] == score.totals
        assert [figures[f"precisions_{n}"] for n in (1, 2, 3, 4)] == pytest.approx(score.precisions)
        assert (figures["bp"], figures["sys_len"], figures["ref_len"]) == (
            score.bp,
            score.sys_len,
            score.ref_len,
        )
    chrf_options: list[dict[str, Any]] = [
        {},
        {"word_order": 2, "beta": 3, "lowercase": True},
        {"eps_smoothing": True, "whitespace": True},
    ]
    for options in chrf_options:
        chrf = CHRF(**options).corpus_score(given, streams)
        figures = figures_of("chrf", (given, references), **options)
        assert figures["score"] == pytest.approx(chrf.score, rel=1e-12)
        assert (figures["char_order"], figures["word_order"], figures["beta"]) == (
            6,
            chrf.word_order,
            chrf.beta,
        )


def test_rows_with_unlike_numbers_of_references() -> None:
    rows = (
        ["old dogs ran over hills", "a cat sat on the mat"],
        [["old dogs ran over hills"], ["no", "a cat sat on the mat"]],
    )
    for name in ("sacrebleu", "chrf"):
        assert figures_of(name, rows)["score"] == pytest.approx(100)
    assert figures_of("rouge", rows)["rougeL"] == figures_of("exact_match", rows)["exact_match"] == 1.0


def test_rouge() -> None:
    given, golds = rows_of("texts")
    for options in ({}, {"use_stemmer": True}):
        scorer = RougeScorer(["rouge1", "rougeLsum"], **options)
        scores = [scorer.score(gold, text) for text, gold in zip(given, golds, strict=True)]
        figures = figures_of("rouge", (given, golds), rouge_types=["rouge1", "rougeLsum"], **options)
        means = {key: np.mean([score[key].fmeasure for score in scores]) for key in ("rouge1", "rougeLsum")}
        assert figures == pytest.approx(means, rel=1e-12)
    letters = figures_of("rouge", (["abc"], ["abd"]), rouge_types=["rouge1"], tokenizer=list)
    assert letters["rouge1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 0.25),
        ({"regexes_to_ignore": ["the ", "yell"], "ignore_case": True, "ignore_punctuation": True}, 0.5),
        (
            {"regexes_to_ignore": ["the ", "yell", "YELL"], "ignore_case": True, "ignore_punctuation": True},
            0.75,
        ),
        (
            {
                "regexes_to_ignore": ["the "],
                "ignore_case": True,
                "ignore_punctuation": True,
                "ignore_numbers": True,
            },
            1.0,
        ),
    ],
)
def test_exact_match(options: dict[str, Any], expected: float) -> None:
    rows = ["cat?", "theater", "yelling", "agent"], ["the cat", "theater", "YELLING", "agent007"]
    assert figures_of("exact_match", rows, **options) == {"exact_match": expected}


def test_perplexity() -> None:
    figures = figures_of("perplexity", ([(2.0, 1), (4.0, 4)], [None, None]))
    assert figures["perplexity"] == pytest.approx(math.exp(6 / 5))
    assert figures["mean_perplexity"] == pytest.approx((math.exp(2) + math.e) / 2)
    assert figures_of("perplexity", ([(1e6, 1)], [None])) == {
        "perplexity": math.inf,
        "mean_perplexity": math.inf,
    }


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("accuracy", ([], []), "the metric 'accuracy' needs at least one row, found none."),
        ("accuracy", ([1], [1, 0]), "found 1 predictions for 2 references."),
        ("accuracy", ([0.5, 1.0], [1, 0]), "predictions must be class numbers"),
        ("accuracy", (["a"], ["b"]), "predictions must be class numbers [rows]"),
        ("accuracy", ([[1, 0], [1, 2]], [[1, 0], [1, 0]]), "predictions row 1: a line of several labels"),
        ("accuracy", ([[1, 0], [1]], [[1, 0], [1, 0]]), "predictions row 1: expected a class number"),
        ("accuracy", ([[1, 0]], [1]), "predictions must have the shape of the references [1], found [1, 2]."),
        ("mse", (["a"], [1.0]), "predictions must be numbers [rows]"),
        ("pearsonr", ([[1.0, 2.0]], [[1.0, 2.0]]), "a correlation compares one value per row, found 2"),
        ("seqeval", (["O"], [["O"]]), "predictions row 0: expected a list of tags"),
        (
            "seqeval",
            ([["O"]], [["O", "O"]]),
            "row 0: expected one predicted tag for each of the 2 tags, found 1.",
        ),
        (
            "seqeval",
            ([["NOUN"]], [["O"]]),
            "predictions row 0: expected 'O' or tags of entities such as 'B-PER'",
        ),
        ("exact_match", ([1], ["one"]), "predictions row 0: expected a text, found 1 of type int."),
        ("rouge", (["one"], [[]]), "references row 0: expected at least one text, found an empty list."),
        (
            "roc_auc",
            ([0.1, 0.9], [0, 2]),
            "references hold class 2, but the scores are of the classes 0 to 1.",
        ),
        (
            "roc_auc",
            ([[1.0, 2.0, 3.0]], [0]),
            "predictions row 0: the probabilities of the classes must add up to 1",
        ),
        ("roc_auc", ([[0.5, 0.2]], [[0, 1, 1]]), "predictions must have a score for each of the 3 labels"),
        ("perplexity", ([1.0], [None]), "predictions must be pairs"),
        ("perplexity", ([(1.0, 0)], [None]), "predictions row 0: expected at least one token, found 0."),
    ],
)
def test_rows_of_another_form(name: str, rows: tuple[Any, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        figures_of(name, rows)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        (
            "f1",
            ([0, 1, 2], [0, 1, 2]),
            "the figure of one class does not stand for 3 labels; set average to one of",
        ),
        ("f1", ([[0, 1]], [[0, 1]]), "the figure of one class does not stand for several labels a row"),
        ("recall", ([0, 2], [0, 2]), "pos_label is 1, but the rows hold the classes [0, 2]"),
        ("matthews_correlation", ([[0, 1]], [[0, 1]]), "it compares one label per row"),
        (
            "roc_auc",
            ([[0.2, 0.3, 0.5]], [2]),
            "3 classes are ranked in one of two ways; set multi_class to 'ovr'",
        ),
    ],
)
def test_options_that_do_not_fit_the_rows(name: str, rows: tuple[Any, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        figures_of(name, rows)
    assert message in str(caught.value)
    assert f"raised by the metric {name!r}" in caught.value.__notes__


def test_token_accuracy_counts_tokens_and_not_rows() -> None:
    assert figures_of("token_accuracy", ([(1, 1), (1, 3)], [None] * 2)) == {"token_accuracy": 0.5}
    with pytest.raises(DataError, match="pairs \\(number of tokens that are right, number of tokens\\)"):
        figures_of("token_accuracy", ([1.0, 2.0], [None] * 2))
