"""Label scoring: a language model ranks the labels' completions by their likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from hf_mtl.metrics import Form
from hf_mtl.tasks.kinds.kind import Declared
from hf_mtl.tasks.kinds.language import LanguageModelling

__all__ = ["LabelScoring"]


@final
@dataclass(frozen=True)
class LabelScoring(LanguageModelling):
    """Label scoring: a language model ranks the labels' completions by their likelihood.

    Args:
        label_smoothing: As in `torch.nn.CrossEntropyLoss`.
    """

    name: ClassVar[str] = "label-scoring"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    forms: ClassVar[tuple[Form, ...]] = ("labels", "texts", "likelihoods")

    def problems(self, declared: Declared) -> list[str]:
        """As in `Kind`."""
        missing = (
            [] if declared.labels else ["labels are missing: name the labels that are ranked (labels=[...])."]
        )
        return missing + super().problems(declared)
