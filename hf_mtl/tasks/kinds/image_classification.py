"""Image classification: one of several labels for an image.

Loss and logits are those of `AutoModelForImageClassification`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

from hf_mtl.bounds import FRACTION, Bounds
from hf_mtl.data import IGNORED, Example, Row
from hf_mtl.errors import ConfigError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.metrics import Form
from hf_mtl.packages import PILLOW, Package
from hf_mtl.tasks.kinds.declared import Declared, Role
from hf_mtl.tasks.kinds.fields import by_role, part
from hf_mtl.tasks.kinds.kind import Answers, Context, Kind, Labelled, Outcome
from hf_mtl.tasks.kinds.labels import class_weights, is_missing, label_number
from hf_mtl.tasks.kinds.limits import check_pixels
from hf_mtl.tasks.kinds.query import Found, Option, Query, count, settled
from hf_mtl.tasks.kinds.scores import label_names, labels_with_scores
from hf_mtl.tasks.kinds.single_label import ClassLoss, ClassWeights, label_problems, scored_labels

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ImageClassification"]


@final
@dataclass(frozen=True)
class ImageClassification(Kind):
    """Image classification. Rows: `image` (a PIL image, an array, or what `datasets` decodes) and `label`.

    Args:
        class_weights: One weight per label, in their order or by name, as in `torch.nn.CrossEntropyLoss`.
        label_smoothing: As in `torch.nn.CrossEntropyLoss`.
    """

    class_weights: ClassWeights = None
    bounds: ClassVar[Mapping[str, Bounds]] = {"label_smoothing": FRACTION}
    label_smoothing: float = 0.0

    name: ClassVar[str] = "image-classification"
    shape: ClassVar[HeadShape] = HeadShape.SEQUENCE
    roles: ClassVar[Mapping[str, Role]] = {"image": Role("image"), "label": Role("label")}
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    forms: ClassVar[tuple[Form, ...]] = ("labels", "scores")
    options: ClassVar[Mapping[str, Option]] = {"top_k": count(5, or_none="all labels")}
    packages: ClassVar[tuple[Package, ...]] = (PILLOW,)

    @property
    def label_role(self) -> str:
        """As in `Kind`."""
        return "label"

    def problems(self, declared: Declared) -> list[str]:
        """As in `Kind`."""
        return label_problems(declared, self.class_weights)

    def examples(self, row: Row, context: Context) -> list[Example]:
        """As in `Kind`; the image itself is read again when it is due, and here only tried."""
        self.pixels(row, context)
        number = self._number(row, context.declared)
        if number is None:
            return []
        weight = self._loss(context.declared).weight(number)
        return [Example([], [0], [IGNORED], [float(number)], weight)]

    def pixels(self, row: Row, context: Context) -> Tensor:
        """As in `Kind`."""
        return _pixels(part(row, "image", self.roles, context.declared.columns), context)

    def losses(self, logits: Tensor, labelled: Labelled, declared: Declared) -> Tensor:
        """As in `Kind`: `[R]`."""
        return self._loss(declared)(logits, labelled.values(logits)[:, 0].long())

    def answers(
        self, form: Form, outcomes: Mapping[int, Sequence[Outcome]], rows: Mapping[int, Row], context: Context
    ) -> Answers:
        """As in `Kind`."""
        numbers = {row: self._number(rows[row], context.declared) for row in outcomes}
        return scored_labels(form, outcomes, {row: own for row, own in numbers.items() if own is not None})

    def query(self, given: object, options: Mapping[str, object], context: Context) -> Query:
        """As in `Kind`: an image, an array, a file's path, or a row; the image is read again when it is due."""
        if isinstance(given, Mapping) and not {"bytes", "path"} & set(given):
            given = by_role(given, ("image",), self.roles, context.declared.columns)["image"]
        value = {"path": str(given)} if isinstance(given, str | Path) else given
        _pixels(value, context)
        example = Example([], [0], [IGNORED], [], 0.0)
        read = partial(_pixels, value, context)
        return Query(settled(options, self.options, self.name), (example,), pixels=read)

    def reply(
        self, query: Query, found: Found, context: Context
    ) -> list[dict[str, Any]]:  # Any: texts and numbers
        """As in `Kind`: `[{"label", "score"}]`, the likeliest first."""
        scores = found.logits[0][0].double().softmax(-1)
        return labels_with_scores(label_names(context.declared), scores, query.options["top_k"])

    def _number(self, row: Row, declared: Declared) -> int | None:
        value = part(row, "label", self.roles, declared.columns)
        return None if is_missing(value) else label_number(value, declared, what="label")

    def _loss(self, declared: Declared) -> ClassLoss:
        return ClassLoss(class_weights(self.class_weights, declared), self.label_smoothing)


def _pixels(value: object, context: Context) -> Tensor:
    from transformers import BaseImageProcessor

    from hf_mtl.data import pixel_values

    if not isinstance(context.processor, BaseImageProcessor):
        raise ConfigError(
            f"image-classification reads images, and the base comes with a {type(context.processor).__name__} in "
            f"the place of an image processor. Use a vision base, such as a ViTModel."
        )
    channels = None if context.image is None else context.image[0]
    return check_pixels(pixel_values(value, context.processor, channels=channels), context)
