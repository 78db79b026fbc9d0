"""Answers where a question may have none, as SQuAD 2.0 scores them.

Rajpurkar et al. 2018, "Know What You Don't Know: Unanswerable Questions for SQuAD". A prediction whose probability of
no answer exceeds the threshold counts as none. `best_exact` and `best_f1` are what the best threshold would have given.
Of several references with one id the last counts, and `total` counts ids.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hf_mtl.metrics.answers import Question, normalised, questions, token_f1
from hf_mtl.metrics.forms import FloatArray, Rows
from hf_mtl.metrics.metric import Metric, Weighted, divided
from hf_mtl.metrics.options import number

__all__ = ["squad_v2"]


def _golds(row: Question) -> list[str]:
    """The answers with any word in them; a question without one is answered rightly by an empty text."""
    return [gold for gold in row.golds if normalised(gold)] or [""]


def _squad_v2(predictions: Rows, references: Rows, *, no_answer_threshold: float) -> Weighted:
    asked = questions(predictions, references, no_answer_probability=True)
    last = {row.name: number for number, row in enumerate(asked)}
    # In the predictions' order, which decides between thresholds where several are equally sure.
    kept = sorted(last.values(), key=lambda number: asked[number].place)
    rows = [asked[number] for number in kept]
    raw = {
        "exact": np.array(
            [float(normalised(row.prediction) in map(normalised, _golds(row))) for row in rows]
        ),
        "f1": np.array(
            [max(token_f1(row.prediction, gold, both_empty=1.0) for gold in _golds(row)) for row in rows]
        ),
    }
    answered = np.array([bool(row.golds) for row in rows])
    doubts = np.array([row.no_answer_probability for row in rows])
    scores = {key: np.where(doubts > no_answer_threshold, ~answered, own) for key, own in raw.items()}
    parts = {"": np.ones(len(rows))} | {
        prefix: part.astype(np.float64)
        for prefix, part in (("HasAns_", answered), ("NoAns_", ~answered))
        if part.any()
    }
    gives_text = np.array([bool(row.prediction) for row in rows])
    best = {key: _best(own, answered, gives_text, doubts) for key, own in raw.items()}

    def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
        counts_RN = counts_RN[:, kept]
        found: dict[str, FloatArray] = {}
        for prefix, part in parts.items():
            total = counts_RN @ part
            found |= {
                prefix + key: 100 * divided(counts_RN @ (own * part), total) for key, own in scores.items()
            }
            found[f"{prefix}total"] = total
        for key, best_of in best.items():
            found[f"best_{key}"], found[f"best_{key}_thresh"] = best_of(counts_RN)
        return found

    return figures


def _best(
    raw: FloatArray, answered: np.ndarray, gives_text: np.ndarray, doubts: FloatArray
) -> Callable[[FloatArray], tuple[FloatArray, FloatArray]]:
    """The best score over all thresholds, and the first threshold that gives it.

    Below all doubts every question counts as unanswerable. Raising the threshold past a row's doubt lets its answer
    count: an answerable row gains its score, an unanswerable one loses 1 if a text was predicted.
    """
    order = np.argsort(doubts, kind="stable")
    gains = np.where(answered, raw, -1.0 * gives_text)[order]
    thresholds = np.concatenate([[0.0], doubts[order]])

    def best_of(counts_RN: FloatArray) -> tuple[FloatArray, FloatArray]:
        start_R1 = (counts_RN @ ~answered)[:, None]
        steps_RN = start_R1 + np.cumsum(counts_RN[:, order] * gains, axis=1)
        reached = np.concatenate([start_R1, steps_RN], axis=1)
        places = reached.argmax(axis=1)
        return 100 * reached.max(axis=1) / counts_RN.sum(axis=1), thresholds[places]

    return best_of


squad_v2 = Metric(
    "squad_v2", form="answers", weighted=_squad_v2, main="f1",
    keys=(
        "exact", "f1", "total", "HasAns_exact", "HasAns_f1", "HasAns_total", "NoAns_exact", "NoAns_f1", "NoAns_total",
        "best_exact", "best_exact_thresh", "best_f1", "best_f1_thresh",
    ),
    neutral=("total", "*_total", "*_thresh"),
    description="as squad, where a question may have no answer",
    valid_options={"no_answer_threshold": number(1.0, least=0.0, most=1.0)},
)  # fmt: skip
