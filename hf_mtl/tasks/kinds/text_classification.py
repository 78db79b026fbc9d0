"""Text classification: one of several labels, or any number of them, for a text or a pair of texts.

Loss and logits are those of `AutoModelForSequenceClassification`: cross-entropy, or binary cross-entropy of every
label where a row may have several.

>>> from hf_mtl.tasks.kinds import Declared
>>> TextClassification(problem_type="several").problems(Declared(labels=("a", "b")))
["problem_type must be one of 'multi_label', 'single_label', found 'several'."]
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np

from hf_mtl.bounds import FRACTION, Bounds
from hf_mtl.data import Example, Row
from hf_mtl.errors import listing
from hf_mtl.head_shapes import HeadShape
from hf_mtl.metrics import Form
from hf_mtl.tasks.kinds.declared import Declared, Role
from hf_mtl.tasks.kinds.fields import asked_texts, part, texts, whole
from hf_mtl.tasks.kinds.kind import Answers, Context, Kind, Labelled, Outcome
from hf_mtl.tasks.kinds.labels import class_weights, is_missing, label_number, label_vector
from hf_mtl.tasks.kinds.query import TOP_K, Found, Option, Query, settled
from hf_mtl.tasks.kinds.scores import label_names, labels_with_scores
from hf_mtl.tasks.kinds.single_label import ClassLoss, ClassWeights, label_problems, scored_labels

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["TextClassification"]

_PROBLEM_TYPES = ("single_label", "multi_label")


@final
@dataclass(frozen=True)
class TextClassification(Kind):
    """Text classification. Rows: `text`, `label` and, if the task's `columns` name it, `text_pair`.

    Args:
        problem_type: `"single_label"`, or `"multi_label"`: a row's label is then a list of labels, or one of 0.0, 1.0
            and None (not known, which gives no loss) for each.
        class_weights: One weight per label, in their order or by name, as in `torch.nn.CrossEntropyLoss`.
        label_smoothing: As in `torch.nn.CrossEntropyLoss`.
    """

    problem_type: str = "single_label"
    class_weights: ClassWeights = None
    bounds: ClassVar[Mapping[str, Bounds]] = {"label_smoothing": FRACTION}
    label_smoothing: float = 0.0

    name: ClassVar[str] = "text-classification"
    shape: ClassVar[HeadShape] = HeadShape.SEQUENCE
    roles: ClassVar[Mapping[str, Role]] = {
        "text": Role("text", template=True),
        "text_pair": Role("text_pair", required=False, template=True),
        "label": Role("label"),
    }
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    forms: ClassVar[tuple[Form, ...]] = ("labels", "scores")
    options: ClassVar[Mapping[str, Option]] = {"top_k": TOP_K}

    @property
    def label_role(self) -> str:
        """As in `Kind`."""
        return "label"

    @property
    def multi_label(self) -> bool:
        """As in `Kind`."""
        return self.problem_type == "multi_label"

    def problems(self, declared: Declared) -> list[str]:
        """As in `Kind`."""
        problems = label_problems(declared, self.class_weights)
        if self.problem_type not in _PROBLEM_TYPES:
            problems.append(
                f"problem_type must be one of {listing(_PROBLEM_TYPES)}, found {self.problem_type!r}."
            )
        if self.multi_label and (self.class_weights is not None or self.label_smoothing):
            problems.append("class_weights and label_smoothing are for problem_type='single_label'.")
        return problems

    def examples(self, row: Row, context: Context) -> list[Example]:
        """As in `Kind`."""
        first, second = texts(row, self.roles, context.declared.columns)
        label = self._label(row, context.declared)
        if label is None:
            return []
        if self.multi_label:
            weight = float(sum(not math.isnan(each) for each in label))
        else:
            weight = self._loss(context.declared).weight(int(label[0]))
        return [whole(context, first, second, label, weight)]

    def losses(self, logits: Tensor, labelled: Labelled, declared: Declared) -> Tensor:
        """As in `Kind`: `[R]`."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        if not self.multi_label:
            return self._loss(declared)(logits, labelled.values(logits)[:, 0].long())
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        targets = labelled.values(wide)
        known = ~targets.isnan()
        each = binary_cross_entropy_with_logits(wide, targets.nan_to_num(), reduction="none")
        return torch.where(known, each, 0.0).sum(-1)

    def answers(
        self, form: Form, outcomes: Mapping[int, Sequence[Outcome]], rows: Mapping[int, Row], context: Context
    ) -> Answers:
        """As in `Kind`."""
        import torch

        gold = {row: self._label(rows[row], context.declared) or [] for row in outcomes}
        if not self.multi_label:
            return scored_labels(form, outcomes, {row: int(label[0]) for row, label in gold.items()})
        logits = np.stack([own[0].output for own in outcomes.values()])
        # A label that is not known cannot be judged: the rows that have one are left out.
        whole = np.array([not any(map(math.isnan, label)) for label in gold.values()])
        references = [
            [int(each) for each in label] for label, kept in zip(gold.values(), whole, strict=True) if kept
        ]
        if form == "labels":
            return Answers((logits[whole] > 0).astype(int).tolist(), references)
        return Answers(list(torch.from_numpy(logits[whole]).double().sigmoid().numpy()), references)

    def query(self, given: object, options: Mapping[str, object], context: Context) -> Query:
        """As in `Kind`: a text, a pair of texts, or a row."""
        first, second = asked_texts(given, self.roles, context)
        return Query(settled(options, self.options, self.name), (whole(context, first, second, [], 0.0),))

    def reply(
        self, query: Query, found: Found, context: Context
    ) -> list[dict[str, Any]]:  # Any: texts and numbers
        """As in `Kind`: `[{"label", "score"}]`, the likeliest first."""
        logits = found.logits[0][0].double()
        scores = logits.sigmoid() if self.multi_label else logits.softmax(-1)
        return labels_with_scores(label_names(context.declared), scores, query.options["top_k"])

    def _loss(self, declared: Declared) -> ClassLoss:
        return ClassLoss(class_weights(self.class_weights, declared), self.label_smoothing)

    def _label(self, row: Row, declared: Declared) -> list[float] | None:
        """A row's label as its targets; None if it has none."""
        value = part(row, "label", self.roles, declared.columns)
        if is_missing(value):
            return None
        if not self.multi_label:
            return [float(label_number(value, declared, what="label"))]
        vector = label_vector(value, declared, what="label")
        return None if all(map(math.isnan, vector)) else vector
