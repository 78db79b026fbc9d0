"""What a kind's rows have, and what a task declares of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property

from hf_mtl.data import PromptCompletion, RowTemplate

__all__ = ["Declared", "Role"]


@dataclass(frozen=True)
class Role:
    """A part that a kind's rows have.

    Args:
        column: The column that holds it, unless the task's `columns` say otherwise.
        required: Whether every row must have it; one that is not is read only if the task's `columns` name it.
        template: Whether a format string over several columns may stand for the column.
    """

    column: str
    required: bool = True
    template: bool = False


@dataclass(frozen=True)
class Declared:
    """What a task declares, as far as its kind must know it.

    Args:
        columns: By role, the column or the format string.
        labels: The labels' names; None where the kind has none.
        numbers: Whether the labels were declared as a number: then rows give numbers only.
        template: How a row becomes text, for kinds that the vocabulary head serves.
        max_length: Most tokens of a sequence; None for as many as the base takes.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    numbers: bool = False
    template: RowTemplate = PromptCompletion("{prompt}", "{completion}")
    max_length: int | None = None

    def __getstate__(self) -> dict[str, object]:
        """The fields alone: `datasets` tells an encoder by its pickle, which what was looked up must not change."""
        return {own.name: vars(self)[own.name] for own in fields(self)}

    @cached_property
    def label_numbers(self) -> Mapping[str, int]:
        """By a label's name its number; looked up for every word of a tagged text."""
        return {label: number for number, label in enumerate(self.labels or ())}

    @cached_property
    def numbered_names(self) -> bool:
        """Whether the labels' names are whole numbers: rows that give numbers then give names, such as 1 to 5 stars."""
        return bool(self.labels) and all(label.removeprefix("-").isdecimal() for label in self.labels or ())
