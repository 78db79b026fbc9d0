"""BLEU and chrF of whole corpora, by sacrebleu."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hf_mtl.metrics.forms import FloatArray, Rows, texts_lists_of, texts_of
from hf_mtl.metrics.metric import Metric, Weighted
from hf_mtl.metrics.options import flag, number, one_of
from hf_mtl.packages import Package

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacrebleuMetric
    from sacrebleu.metrics.bleu import BLEUScore
    from sacrebleu.metrics.chrf import CHRFScore

__all__ = ["chrf", "sacrebleu"]

_PACKAGE = Package("sacrebleu", "hf-mtl[metrics]")


def _corpus(
    scorer: SacrebleuMetric,
    predictions: Rows,
    references: Rows,
    figures_of: Callable[[object], dict[str, float]],
) -> Weighted:
    """A corpus score as a function of the rows' weights: it is one of the sums of the rows' n-gram counts."""
    given, golds = texts_of(predictions, "predictions"), texts_lists_of(references, "references")
    most = max(map(len, golds))
    # sacrebleu wants the first references of all rows, then the second ones; None where a row has fewer.
    streams = [[own[place] if place < len(own) else None for own in golds] for place in range(most)]
    # Both are what its own bootstrap calls; the public methods give no counts for chrF.
    statistics_NS = np.array(
        scorer._extract_corpus_statistics(given, cast("Sequence[Sequence[str]]", streams))
    )

    def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
        sums_RS = np.rint(counts_RN @ statistics_NS).astype(np.int64).tolist()
        found = [figures_of(scorer._compute_score_from_stats(sums)) for sums in sums_RS]
        return {key: np.array([own[key] for own in found]) for key in found[0]}

    return figures


def _sacrebleu(
    predictions: Rows,
    references: Rows,
    *,
    smooth_method: str,
    smooth_value: float | None,
    lowercase: bool,
    tokenize: str | None,
    use_effective_order: bool,
) -> Weighted:
    from sacrebleu.metrics.bleu import BLEU

    scorer = BLEU(
        lowercase=lowercase, force=True, tokenize=tokenize, smooth_method=smooth_method, smooth_value=smooth_value,
        effective_order=use_effective_order,
    )  # fmt: skip
    return _corpus(scorer, predictions, references, lambda score: _bleu_figures(cast("BLEUScore", score)))


def _bleu_figures(score: BLEUScore) -> dict[str, float]:
    by_order: dict[str, Sequence[float]] = {
        "counts": score.counts,
        "totals": score.totals,
        "precisions": score.precisions,
    }
    lists = {
        f"{key}_{n}": float(value) for key, own in by_order.items() for n, value in enumerate(own, start=1)
    }
    return {"score": score.score, "bp": score.bp, "sys_len": score.sys_len, "ref_len": score.ref_len} | lists


def _check_smoothing(options: Mapping[str, object], labels: int | None, multi_label: bool) -> list[str]:
    method, value = options["smooth_method"], options["smooth_value"]
    if value is not None and method not in ("floor", "add-k"):
        return [
            f"smooth_value counts only with smooth_method 'floor' or 'add-k', found {method!r}; leave it out."
        ]
    return []


def _chrf(
    predictions: Rows, references: Rows, **options: Any
) -> Weighted:  # Any: whole numbers and flags, as accepted
    from sacrebleu.metrics.chrf import CHRF

    scorer = CHRF(**options)
    return _corpus(scorer, predictions, references, lambda score: _chrf_figures(cast("CHRFScore", score)))


def _chrf_figures(score: CHRFScore) -> dict[str, float]:
    return {
        "score": score.score,
        "char_order": score.char_order,
        "word_order": score.word_order,
        "beta": score.beta,
    }


sacrebleu = Metric(
    "sacrebleu", form="texts", weighted=_sacrebleu, main="score", package=_PACKAGE,
    keys=("score", "counts_<n>", "totals_<n>", "precisions_<n>", "bp", "sys_len", "ref_len"),
    neutral=("counts_*", "totals_*", "sys_len", "ref_len", "bp"),
    description="BLEU of the corpus, from 0 to 100", check=_check_smoothing,
    valid_options={
        "smooth_method": one_of("exp", "exp", "floor", "add-k", "none"),
        "smooth_value": number(None, least=0.0),
        "lowercase": flag(),
        "tokenize": one_of(None, "13a", "char", "intl", "none", "zh"),
        "use_effective_order": flag(),
    },
)  # fmt: skip

chrf = Metric(
    "chrf", form="texts", weighted=_chrf, main="score", package=_PACKAGE,
    keys=("score", "char_order", "word_order", "beta"), neutral=("char_order", "word_order", "beta"),
    description="F-score of common character sequences of the corpus, from 0 to 100; word_order 2 is chrF++",
    valid_options={
        "char_order": number(6, least=1, whole=True),
        "word_order": number(0, least=0, whole=True),
        "beta": number(2, least=1, whole=True),
        "lowercase": flag(),
        "whitespace": flag(),
        "eps_smoothing": flag(),
    },
)  # fmt: skip
