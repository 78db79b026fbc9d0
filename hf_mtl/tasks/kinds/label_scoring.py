"""Label scoring: a language model ranks the labels' completions by their likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

from hf_mtl.data import Example, TextPair
from hf_mtl.metrics import Form
from hf_mtl.tasks.kinds.declared import Declared
from hf_mtl.tasks.kinds.kind import Context
from hf_mtl.tasks.kinds.language import LanguageModelling
from hf_mtl.tasks.kinds.query import Found, Option, Query, count, settled
from hf_mtl.tasks.kinds.ranking import completions_of, label_likelihoods
from hf_mtl.tasks.kinds.scores import labels_with_scores
from hf_mtl.tasks.kinds.writing import prompt_of, row_tokens

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
    forms: ClassVar[tuple[Form, ...]] = ("labels", "texts", "likelihoods", "tokens")
    options: ClassVar[Mapping[str, Option]] = {"top_k": count(None, or_none="all labels")}

    def problems(self, declared: Declared) -> list[str]:
        """As in `Kind`."""
        missing = (
            [] if declared.labels else ["labels are missing: name the labels that are ranked (labels=[...])."]
        )
        return missing + super().problems(declared)

    def query(self, given: object, options: Mapping[str, object], context: Context) -> Query:
        """As in `Kind`: a whole prompt, or a row with the template's fields."""
        chosen = settled(options, self.options, self.name)
        texts = TextPair(prompt_of(given, context).text, completions_of(context)[0])
        encoded = row_tokens(context).pair(texts)
        return Query(chosen, (Example.next_token(encoded),))

    def reply(
        self, query: Query, found: Found, context: Context
    ) -> list[dict[str, Any]]:  # Any: texts and numbers
        """As in `Kind`: `[{"label", "score"}]`, the likelihoods of the labels' completions, which sum to 1."""
        import torch

        likelihoods = torch.tensor(label_likelihoods(found.asked, found.logits, context), dtype=torch.float64)
        return labels_with_scores(context.labels, likelihoods.softmax(-1), query.options["top_k"])
