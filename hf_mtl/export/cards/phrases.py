"""What a card says of a kind of task and of a metric, in words and in the Hub's terms.

>>> KINDS["regression"].pipeline_tag, metric_name("exact_match"), metric_type("rougeL")
('text-classification', 'Exact match', 'rouge')
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hf_mtl.export.cards.escaping import Verbatim, code
from hf_mtl.export.cards.facts import TaskFacts

__all__ = ["KINDS", "KindWords", "kind_words", "metric_name", "metric_type", "what_it_does"]


@dataclass(frozen=True)
class KindWords:
    """A kind of task in words.

    Args:
        pipeline_tag: What the Hub calls it.
        does: What an adapter of this kind does, after "It".
        with_labels: The same before a list of labels; None where labels are no answers.
    """

    pipeline_tag: str
    does: str
    with_labels: str | None = None


KINDS: Mapping[str, KindWords] = {
    "causal-lm": KindWords("text-generation", "completes a prompt", "completes a prompt with one of"),
    "label-scoring": KindWords(
        "text-generation", "ranks possible completions of a prompt", "ranks as completions of a prompt"
    ),
    "seq2seq-lm": KindWords("text-generation", "turns one text into another", "answers a text with one of"),
    "text-classification": KindWords("text-classification", "classifies a text", "classifies a text as one of"),
    "regression": KindWords("text-classification", "gives a number for a text"),
    "token-classification": KindWords(
        "token-classification", "tags each word of a text", "tags each word of a text as"
    ),
    "question-answering": KindWords(
        "question-answering", "answers a question by marking a span of the text that it is asked about"
    ),
    "image-classification": KindWords(
        "image-classification", "classifies an image", "classifies an image as one of"
    ),
}  # fmt: skip

_UNKNOWN = KindWords("other", "answers rows of a kind of its own")
_SHOWN_LABELS = 30

_NAMES = {
    "exact_match": "Exact match",
    "f1": "F1",
    "overall_f1": "F1 of whole entities",
    "overall_precision": "Precision of whole entities",
    "overall_recall": "Recall of whole entities",
    "matthews_correlation": "Matthews correlation",
    "mae": "Mean absolute error",
    "mse": "Mean squared error",
    "pearsonr": "Pearson correlation",
    "spearmanr": "Spearman correlation",
    "roc_auc": "ROC AUC",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
}
_TYPES = {
    "overall_f1": "f1",
    "overall_precision": "precision",
    "overall_recall": "recall",
    "overall_accuracy": "accuracy",
    "rouge1": "rouge",
    "rouge2": "rouge",
    "rougeL": "rouge",
    "rougeLsum": "rouge",
}


def kind_words(kind: str) -> KindWords:
    """The words for a kind; general ones for somebody's own."""
    return KINDS.get(kind, _UNKNOWN)


def what_it_does(task: TaskFacts) -> Verbatim:
    """One sentence on what an adapter does, with its labels."""
    words = kind_words(task.kind)
    if not task.labels or words.with_labels is None:
        return Verbatim(f"It {words.does}.")
    does = words.with_labels.replace("one of", "any of") if task.multi_label else words.with_labels
    shown = ", ".join(code(label) for label in task.labels[:_SHOWN_LABELS])
    more = len(task.labels) - _SHOWN_LABELS
    return Verbatim(f"It {does} {shown}{f' and {more} more' if more > 0 else ''}.")


def metric_name(key: str) -> str:
    """A metric as a person reads it."""
    return _NAMES.get(key, key.replace("_", " ").capitalize())


def metric_type(key: str) -> str:
    """A metric as the Hub knows it."""
    return _TYPES.get(key, key)
