"""One label out of several for a whole sequence: what text and image classification have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from hf_mtl.errors import ConfigError
from hf_mtl.metrics import Form
from hf_mtl.tasks.kinds.declared import Declared
from hf_mtl.tasks.kinds.kind import Answers, Outcome
from hf_mtl.tasks.kinds.labels import class_weights

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ClassLoss", "ClassWeights", "label_problems", "scored_labels"]

ClassWeights: TypeAlias = Mapping[str, float] | Sequence[float] | None


@dataclass(frozen=True)
class ClassLoss:
    """Cross-entropy as `torch.nn.CrossEntropyLoss` computes it, label by label.

    Args:
        weights: One weight per class, in their order; None for 1 each.
        smoothing: The share of the target that is spread over all classes.
    """

    weights: Sequence[float] | None = None
    smoothing: float = 0.0

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The losses `[N]` of logits `[N, C]`, in fp32 or wider; their mean is their sum over that of the weights."""
        import torch
        from torch.nn.functional import cross_entropy

        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        weight = None if self.weights is None else wide.new_tensor(self.weights)
        return cross_entropy(wide, targets, weight=weight, reduction="none", label_smoothing=self.smoothing)

    def weight(self, target: int) -> float:
        """What a label counts for in the mean."""
        return 1.0 if self.weights is None else float(self.weights[target])


def label_problems(declared: Declared, weights: ClassWeights) -> list[str]:
    """What is wrong with the declaration of a closed set of labels."""
    problems = []
    labels = declared.labels
    if labels is None:
        problems.append(
            "labels are missing: name them (labels=[...]) or give their number (labels=3); the rows' features do not "
            "say them (no ClassLabel)."
        )
    elif len(set(labels)) < max(2, len(labels)):
        problems.append(f"labels must be two or more different names, found {list(labels)!r}.")
    if labels is not None and weights is not None:
        try:
            class_weights(weights, declared)
        except ConfigError as error:
            problems += error.problems
    return problems


def scored_labels(form: Form, outcomes: Mapping[int, Sequence[Outcome]], gold: Mapping[int, int]) -> Answers:
    """Predicted classes, or the probabilities of all, beside the right ones."""
    import torch

    logits = np.stack([outcomes[row][0].output for row in outcomes])
    references = [gold[row] for row in outcomes]
    if form == "labels":
        return Answers(logits.argmax(-1).tolist(), references)
    probabilities = torch.from_numpy(logits).double().softmax(-1).numpy()
    return Answers(list(probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities), references)
