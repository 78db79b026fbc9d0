"""Labels with their scores, as `transformers.pipeline` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_mtl.tasks.kinds.declared import Declared

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["label_names", "labels_with_scores"]


def label_names(declared: Declared) -> tuple[str, ...]:
    """The labels' names; `LABEL_0` and so on where only their number was declared.

    >>> label_names(Declared(labels=("0", "1"), numbers=True)), label_names(Declared(labels=("bad", "good")))
    (('LABEL_0', 'LABEL_1'), ('bad', 'good'))
    """
    names = declared.labels or ()
    return tuple(f"LABEL_{i}" for i in range(len(names))) if declared.numbers else names


def labels_with_scores(
    names: Sequence[str], scores_C: Tensor, top_k: int | None
) -> list[dict[str, Any]]:  # Any: a text and a number
    """The labels, the highest score first.

    >>> import torch
    >>> labels_with_scores(["bad", "good"], torch.tensor([0.25, 0.75]), 1)
    [{'label': 'good', 'score': 0.75}]

    Args:
        names: The labels' names.
        scores_C: Their scores.
        top_k: How many are given; None for all.
    """
    scored = [{"label": name, "score": score} for name, score in zip(names, scores_C.tolist(), strict=True)]
    return sorted(scored, key=lambda own: -own["score"])[:top_k]
