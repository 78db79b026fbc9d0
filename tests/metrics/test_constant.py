"""The best constant answer of each form, as the metrics score it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hf_mtl.metrics import METRICS, constant_predictions


def scored(name: str, references: Any, **options: object) -> dict[str, float]:
    metric = METRICS[name].with_options(**options)
    predictions = constant_predictions(metric.form or "labels", references)
    assert predictions is not None and len(predictions) == len(references)
    return metric.compute(predictions=predictions, references=references)


def test_every_form() -> None:
    assert scored("accuracy", [3, 0, 3, 1]) == {"accuracy": 0.5}
    assert scored("accuracy", [[1, 0, 1], [1, 0, 0], [1, 1, 0]]) == {"accuracy": pytest.approx(1 / 3)}
    assert scored("roc_auc", [0, 1, 1, 1]) == {"roc_auc": 0.5}
    assert scored("roc_auc", [0, 1, 2, 2], multi_class="ovr") == {"roc_auc": 0.5}
    assert scored("mse", [1.0, 3.0]) == {"mse": 1.0}
    assert scored("mae", [[1.0, 0.0], [3.0, 0.0]]) == {"mae": 0.5}
    assert math.isnan(scored("pearsonr", [1.0, 3.0])["pearsonr"])
    figures = scored("seqeval", [["B-PER", "O"], ["O"]])
    assert figures["overall_f1"] == 0.0 and figures["overall_accuracy"] == pytest.approx(2 / 3)
    asked = [{"id": "a", "answers": {"text": ["x"]}}, {"id": "b", "answers": {"text": []}}]
    assert scored("squad_v2", asked)["exact"] == 50.0
    assert scored("exact_match", ["yes", "no", ["no", "nope"]]) == {"exact_match": pytest.approx(2 / 3)}
    assert constant_predictions("likelihoods", [None, None]) is None
    assert constant_predictions("tokens", [None, None]) is None


def test_ties_and_shapes() -> None:
    assert np.array_equal(np.asarray(constant_predictions("labels", [1, 0])), [0, 0])
    assert np.array_equal(np.asarray(constant_predictions("scores", [1, 1])), [[0.0, 1.0]] * 2)
    assert constant_predictions("texts", ["b", "a"]) == ["b", "b"]
