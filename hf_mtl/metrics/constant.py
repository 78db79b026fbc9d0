"""The predictions of the best constant answer: what a metric says of them is the figure to beat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from hf_mtl.metrics.forms import Form, Rows, floats_of, labels_of, tags_of, texts_lists_of

__all__ = ["constant_predictions"]


def constant_predictions(form: Form, references: Rows) -> Rows | None:
    """Predictions of one form that say the same for every row, as well as the references allow.

    Args:
        form: The form of the predictions, as the metric takes them.
        references: Those of the rows.

    Returns:
        labels: the most frequent class, or for each of several labels what most rows have; scores: the shares of the
        classes; values: the mean; tags: `O` everywhere; answers: none; texts: the most frequent one. For likelihoods
        there is no constant answer: None. Of equally frequent ones the smallest class, and the first text.

    Raises:
        DataError: If the references are not of the form.

    Example:
        >>> constant_predictions("labels", [2, 0, 2])
        array([2, 2, 2])
        >>> constant_predictions("texts", ["yes", "no", "no"])
        ['no', 'no', 'no']
    """
    rows = len(references)
    if form == "labels":
        labels = labels_of(references, "references")
        common = labels.mean(axis=0) > 0.5 if labels.ndim == 2 else np.bincount(labels).argmax()
        return np.repeat(np.expand_dims(common, 0).astype(np.int64), rows, axis=0)
    if form == "scores":
        labels = labels_of(references, "references")
        shares = labels.mean(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=2) / rows
        return np.repeat(shares[None], rows, axis=0)
    if form == "values":
        return np.repeat(floats_of(references, "references").mean(axis=0, keepdims=True), rows, axis=0)
    if form == "tags":
        return [["O"] * len(row) for row in tags_of(references, "references")]
    if form == "answers":
        ids = [row["id"] if isinstance(row, Mapping) else None for row in references]
        return [{"id": name, "prediction_text": "", "no_answer_probability": 1.0} for name in ids]
    if form == "texts":
        texts = Counter(
            text for own in texts_lists_of(references, "references") for text in dict.fromkeys(own)
        )
        return [texts.most_common(1)[0][0]] * rows
    return None
