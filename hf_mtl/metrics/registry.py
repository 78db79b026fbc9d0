"""All named metrics; a new one is its file and one entry here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hf_mtl.metrics.answers import squad
from hf_mtl.metrics.classification import accuracy, f1, matthews_correlation, precision, recall
from hf_mtl.metrics.likelihoods import perplexity, token_accuracy
from hf_mtl.metrics.metric import Metric
from hf_mtl.metrics.ranking import roc_auc
from hf_mtl.metrics.regression import mae, mse, pearsonr, spearmanr
from hf_mtl.metrics.squad_v2 import squad_v2
from hf_mtl.metrics.tags import seqeval
from hf_mtl.metrics.texts import exact_match, rouge
from hf_mtl.metrics.translation import chrf, sacrebleu

__all__ = ["METRICS"]

_ALL = (
    accuracy, chrf, exact_match, f1, mae, matthews_correlation, mse, pearsonr, perplexity, precision, recall, roc_auc,
    rouge, sacrebleu, seqeval, spearmanr, squad, squad_v2, token_accuracy,
)  # fmt: skip

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
