"""Intervals: quick ones equal a plain bootstrap on the same draws, and they cover what they should."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from metric_rows import DECLARED, rows_for, rows_of

from hf_mtl.errors import ConfigError
from hf_mtl.metrics import METRICS, MOST_RECOMPUTED, confidence_intervals, intervals, resolve
from hf_mtl.metrics.intervals import resample_counts

RESAMPLES = 40


def taken(rows: Any, drawn: Any) -> Any:
    """The drawn rows; each draw of a question is one of its own, with an id of its own."""
    found = [rows[row] for row in drawn]
    if not isinstance(found[0], dict):
        return found
    return [{**row, "id": f"{row['id']} {number}"} for number, row in enumerate(found)]


def plain(metric: Any, predictions: Any, references: Any, *, level: float) -> dict[str, Any]:
    """The same draws, the metric computed anew on each."""
    rows = len(references)
    figures = []
    for counts in resample_counts(rows, RESAMPLES, seed=3):
        drawn = np.repeat(np.arange(rows), counts)
        figures.append(
            metric.compute(predictions=taken(predictions, drawn), references=taken(references, drawn))
        )
    found = {}
    for key in metric.compute(predictions=predictions, references=references):
        if metric.better(key) is not None:
            values = [own[key] for own in figures if not math.isnan(own.get(key, math.nan))]
            # Seven rows of which no draw holds every class have no area under the curve.
            found[key] = np.quantile(values or [math.nan], [(1 - level) / 2, (1 + level) / 2])
    return found


@pytest.mark.parametrize(
    "rows", [60, 7]
)  # of seven rows some draws miss a class, a type of entity, all answerable questions
@pytest.mark.parametrize("name", METRICS)
def test_intervals_are_those_of_a_plain_bootstrap(name: str, rows: int) -> None:
    metric = resolve({"name": name, **DECLARED[name]})
    predictions, references = rows_for(name, rows)
    found = confidence_intervals(metric, predictions, references, seed=3, level=0.8, resamples=RESAMPLES)
    expected = plain(metric, predictions, references, level=0.8)
    assert found.keys() == expected.keys()
    for key, bounds in expected.items():
        assert found[key] == pytest.approx(tuple(bounds), rel=1e-9, abs=1e-9, nan_ok=True), key
    figures = metric.compute(predictions=predictions, references=references)
    assert rows < 60 or any(low < figures[key] < high for key, (low, high) in found.items())


@pytest.mark.parametrize(
    ("declared", "form"),
    [
        ({"name": "f1", "average": "samples"}, "several labels"),
        ({"name": "f1", "average": "macro"}, "several labels"),
        ({"name": "recall", "average": "macro", "labels": [0, 2]}, "labels"),
        ({"name": "accuracy"}, "several labels"),
        ({"name": "mse"}, "values"),
        ({"name": "seqeval", "mode": "strict", "scheme": "IOB2"}, "tags"),
        ({"name": "sacrebleu"}, "texts"),
        ({"name": "chrf"}, "texts"),
    ],
)
def test_intervals_with_options(declared: dict[str, Any], form: str) -> None:
    metric = resolve(declared)
    found = confidence_intervals(metric, *rows_of(form), seed=3, resamples=RESAMPLES)
    for key, bounds in plain(metric, *rows_of(form), level=0.95).items():
        assert found[key] == pytest.approx(tuple(bounds), rel=1e-9), key


def test_weights_of_rows_go_with_the_rows() -> None:
    predictions, references = rows_of("labels")
    weights = np.where(references == 0, 5.0, 1.0)
    drawn = {
        name: confidence_intervals(
            resolve({"name": name, **options, "sample_weight": weights.tolist()}), predictions, references,
            seed=3, resamples=RESAMPLES,
        )[name]
        for name, options in (("accuracy", {}), ("f1", {"average": "weighted"}), ("matthews_correlation", {}))
    }  # fmt: skip
    for name, options in (("accuracy", {}), ("f1", {"average": "weighted"}), ("matthews_correlation", {})):
        values = []
        for counts in resample_counts(60, RESAMPLES, seed=3):
            rows = np.repeat(np.arange(60), counts)
            metric = resolve({"name": name, **options, "sample_weight": weights[rows].tolist()})
            values.append(metric.compute(predictions=predictions[rows], references=references[rows])[name])
        assert drawn[name] == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), rel=1e-9)


def test_the_seed_decides_and_chunks_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    metric, rows = METRICS["accuracy"], rows_of("labels")
    first = confidence_intervals(metric, *rows, seed=1)
    monkeypatch.setattr(intervals, "_CHUNK", 100)
    assert confidence_intervals(metric, *rows, seed=1) == first
    assert confidence_intervals(metric, *rows, seed=2) != first


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        right = (rng.random(100) < 0.7).astype(int)
        low, high = confidence_intervals(
            METRICS["accuracy"], right, np.ones(100, int), seed=seed, resamples=300
        )["accuracy"]
        covered += low <= 0.7 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_a_metric_of_the_user_is_computed_anew_at_most_so_often() -> None:
    calls = []

    def share(predictions: Any, references: Any) -> dict[str, float]:
        calls.append(len(predictions))
        return {"share": float(np.mean(np.equal(predictions, references)))}

    found = confidence_intervals(resolve(share), *rows_of("labels"), seed=3, resamples=1000)
    assert len(calls) == MOST_RECOMPUTED + 1 and set(calls) == {60}
    few = confidence_intervals(METRICS["accuracy"], *rows_of("labels"), seed=3, resamples=MOST_RECOMPUTED)
    assert found["share"] == pytest.approx(few["accuracy"])


def test_a_type_of_entity_that_a_draw_does_not_hold_is_left_out() -> None:
    weighted = METRICS["seqeval"].resampler([["B-PER"], ["B-LOC"]], [["B-PER"], ["O"]])
    assert weighted is not None
    figures = weighted(np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert figures["PER_f1"] == pytest.approx([1.0, math.nan], nan_ok=True)
    assert figures["LOC_f1"].tolist() == [0.0, 0.0]


def test_what_no_draw_defines_is_nan() -> None:
    low, high = confidence_intervals(METRICS["pearsonr"], [1.0, 1.0, 1.0], [1.0, 2.0, 3.0], seed=0)[
        "pearsonr"
    ]
    assert math.isnan(low) and math.isnan(high)


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError) as caught:
        confidence_intervals(METRICS["accuracy"], [1], [1], seed=0, level=95, resamples=0)
    assert caught.value.problems == (
        "level: expected a number above 0 and below 1, found 95.",
        "resamples: expected a whole number above 0, found 0.",
    )
