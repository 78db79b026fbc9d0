"""Regression: one number, or several, for a text or a pair of texts.

Loss and logits are those of `AutoModelForSequenceClassification` with `problem_type="regression"`: the mean squared
error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, final

from hf_mtl.bounds import Bounds
from hf_mtl.data import Example, Row
from hf_mtl.errors import DataError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.metrics import Form
from hf_mtl.setting_bounds import LABELS
from hf_mtl.tasks.kinds.declared import Declared, Role
from hf_mtl.tasks.kinds.fields import asked_texts, part, texts, whole
from hf_mtl.tasks.kinds.kind import Answers, Context, Kind, Labelled, Outcome
from hf_mtl.tasks.kinds.labels import is_missing
from hf_mtl.tasks.kinds.query import Found, Query, settled

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Regression"]


@final
@dataclass(frozen=True)
class Regression(Kind):
    """Regression. Rows: `text`, `label` (a number, or a list of them) and, if `columns` name it, `text_pair`.

    Args:
        outputs: How many numbers a row has.
    """

    bounds: ClassVar[Mapping[str, Bounds]] = {"outputs": LABELS}
    outputs: int = 1

    name: ClassVar[str] = "regression"
    shape: ClassVar[HeadShape] = HeadShape.SEQUENCE
    roles: ClassVar[Mapping[str, Role]] = {
        "text": Role("text", template=True),
        "text_pair": Role("text_pair", required=False, template=True),
        "label": Role("label"),
    }
    metrics: ClassVar[tuple[str, ...]] = ("mse", "pearsonr", "spearmanr")
    forms: ClassVar[tuple[Form, ...]] = ("values",)

    def problems(self, declared: Declared) -> list[str]:
        """As in `Kind`."""
        problems = []
        if declared.labels is not None:
            problems.append("a regression has no labels; give outputs=N for N numbers per row.")
        return problems

    def head(self, declared: Declared) -> HeadSpec:
        """As in `Kind`."""
        return HeadSpec(self.shape, self.outputs)

    def examples(self, row: Row, context: Context) -> list[Example]:
        """As in `Kind`."""
        first, second = texts(row, self.roles, context.declared.columns)
        values = self._values(row, context.declared)
        return [] if values is None else [whole(context, first, second, values, float(self.outputs))]

    def losses(self, logits: Tensor, labelled: Labelled, declared: Declared) -> Tensor:
        """As in `Kind`: `[R]`."""
        import torch

        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return (wide - labelled.values(wide)).square().sum(-1)

    def answers(
        self, form: Form, outcomes: Mapping[int, Sequence[Outcome]], rows: Mapping[int, Row], context: Context
    ) -> Answers:
        """As in `Kind`: a number per row, or a list of them."""
        predictions = [own[0].output.tolist() for own in outcomes.values()]
        references = [self._values(rows[row], context.declared) or [] for row in outcomes]
        if self.outputs > 1:
            return Answers(predictions, references)
        return Answers([own[0] for own in predictions], [own[0] for own in references])

    def query(self, given: object, options: Mapping[str, object], context: Context) -> Query:
        """As in `Kind`: a text, a pair of texts, or a row."""
        first, second = asked_texts(given, self.roles, context)
        return Query(settled(options, self.options, self.name), (whole(context, first, second, [], 0.0),))

    def reply(
        self, query: Query, found: Found, context: Context
    ) -> list[dict[str, Any]]:  # Any: texts and numbers
        """As in `Kind`: `[{"label": "LABEL_0", "score": value}]`, one for each output, in their order."""
        values = found.logits[0][0].double().tolist()
        return [{"label": f"LABEL_{i}", "score": value} for i, value in enumerate(values)]

    def _values(self, row: Row, declared: Declared) -> list[float] | None:
        value = part(row, "label", self.roles, declared.columns)
        if is_missing(value):
            return None
        values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if len(values) != self.outputs:
            raise DataError(
                f"the label {value!r} has {len(values)} numbers; expected outputs={self.outputs}.",
                reason="unknown label",
            )
        return [_number(each) for each in values]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(
            f"the label is {value!r} ({type(value).__name__}); expected a finite number (None for a row without one).",
            reason="unknown label",
        )
    return float(value)
