"""What one pass over the references says of the task's model: perplexity, and the share of right tokens."""

from __future__ import annotations

import numpy as np

from hf_mtl.metrics.forms import FloatArray, Rows, likelihoods_of, token_counts_of
from hf_mtl.metrics.metric import Metric, Weighted, divided

__all__ = ["perplexity", "token_accuracy"]


def _perplexity(predictions: Rows, references: Rows) -> Weighted:
    sums_N2 = likelihoods_of(predictions)
    with np.errstate(over="ignore"):  # beyond the largest float it is infinite
        by_row = np.exp(sums_N2[:, 0] / sums_N2[:, 1])

    def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
        loss, tokens = (counts_RN @ sums_N2).T
        # A row that a resample leaves out must not make it infinite, which 0 times infinity would.
        unbounded = ~np.isfinite(by_row)
        with np.errstate(over="ignore"):
            means = counts_RN @ np.where(unbounded, 0.0, by_row) / counts_RN.sum(axis=1)
            means = np.where(counts_RN @ unbounded > 0, by_row[unbounded].sum(), means)
            return {"perplexity": np.exp(loss / tokens), "mean_perplexity": means}

    return figures


perplexity = Metric(
    "perplexity", form="likelihoods", weighted=_perplexity, main="perplexity", keys=("perplexity", "mean_perplexity"),
    greater_is_better=False,
    description="exp of the mean loss: over all tokens, and the mean over rows of each row's own",
)  # fmt: skip


def _token_accuracy(predictions: Rows, references: Rows) -> Weighted:
    counts_N2 = token_counts_of(predictions)

    def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
        right, tokens = (counts_RN @ counts_N2).T
        return {"token_accuracy": divided(right, tokens)}

    return figures


token_accuracy = Metric(
    "token_accuracy", form="tokens", weighted=_token_accuracy, main="token_accuracy", keys=("token_accuracy",),
    description="share of the learned tokens that are the most likely ones, given the reference before them",
)  # fmt: skip
