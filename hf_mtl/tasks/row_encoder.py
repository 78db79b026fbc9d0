"""The one path from a row of a task to sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_mtl.data import Example, Row
from hf_mtl.tasks.kinds import Context, Kind, check_examples
from hf_mtl.tasks.task import Task

if TYPE_CHECKING:
    from torch import Tensor

    from hf_mtl.data import Sequence

__all__ = ["RowEncoder", "sequence_of"]


def sequence_of(
    kind: Kind,
    route: str,
    example: Mapping[str, Any],  # Any: the fields of `Example`
    *,
    row: int,
    dropout_key: int = 0,
    virtual: int = 0,
    pixels: Tensor | None = None,
) -> Sequence:
    """A sequence as a batch takes it.

    Args:
        kind: The task's kind.
        route: Whose adapters and head it uses.
        example: The fields of an `Example`.
        row: The row's number.
        dropout_key: Names the row's random stream.
        virtual: The virtual tokens that the route puts before it.
        pixels: The image, for kinds that read one.
    """
    from hf_mtl.data import ImageSequence, Sequence

    own: dict[str, Any] = {  # Any: the arguments of a sequence
        "route": route,
        "input_ids": example["input_ids"],
        "label_positions": example["label_positions"],
        "label_ids": example["label_ids"],
        "row": row,
        "dropout_key": dropout_key,
        "virtual": virtual,
        "head": kind.shape,
        "token_types": example["token_types"],
        "targets": tuple(example["targets"]),
        "weight": example["weight"],
    }
    return Sequence(**own) if pixels is None else ImageSequence(**own, pixel_values=pixels)


@dataclass(frozen=True)
class RowEncoder:
    """Makes sequences of a task's rows.

    Args:
        task: The task.
        context: The task on its base.
        virtual: The virtual tokens that the task's route puts before each row.
    """

    task: Task
    context: Context
    virtual: int = 0

    def examples(self, row: Row) -> list[Example]:
        """The sequences of a row, as they are stored.

        Raises:
            DataError: If the row cannot be used.
        """
        examples = self.task.own_kind.examples(row, self.context)
        check_examples(self.task.own_kind, examples, self.context)
        return examples

    def sequence(
        self,
        example: Mapping[str, Any],  # Any: the fields of `Example`
        *,
        row: int,
        dropout_key: int = 0,
        source: Row | None = None,
    ) -> Sequence:
        """A sequence as a batch takes it.

        Args:
            example: The fields of an `Example`.
            row: The row's number.
            dropout_key: Names the row's random stream.
            source: The row itself, for kinds that read images.
        """
        kind = self.task.own_kind
        pixels = None
        if kind.reads_images:
            assert source is not None
            pixels = kind.pixels(source, self.context)
        return sequence_of(
            kind,
            self.task.name,
            example,
            row=row,
            dropout_key=dropout_key,
            virtual=self.virtual,
            pixels=pixels,
        )
