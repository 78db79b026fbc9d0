"""What is in a task's rows: counts, and some of them as text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from datasets import Dataset
from pydantic import ConfigDict

from hf_mtl.data import PromptCompletion, Row, pattern_fields
from hf_mtl.export.cards.facts import SplitNumbers
from hf_mtl.tasks import EncodedSplit, Task
from hf_mtl.tasks.kinds.labels import is_missing, label_number, label_vector

__all__ = ["TaskData", "data_of"]

_SAMPLES = 3
_LONGEST = 300  # characters of a value
_LABELS = 200  # kinds of label that are counted
_RULES = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class TaskData:
    """A task's rows.

    Args:
        numbers: By split, what is in it.
        samples: Some training rows as text; none where they may not be passed on.
        image_mode: The mode of its images, as Pillow calls it.
        image_size: Their width and height.
        skipped: By split and reason, the rows that could not be used and were left out.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    numbers: Mapping[str, SplitNumbers] = field(default_factory=dict)
    samples: tuple[Mapping[str, str], ...] = ()
    image_mode: str | None = None
    image_size: tuple[int, int] | None = None
    skipped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def data_of(
    task: Task,
    splits: Mapping[str, EncodedSplit],
    tests: Dataset | None = None,
    *,
    shown: bool,
    skipped: Mapping[str, Mapping[str, int]] = MappingProxyType({}),
) -> TaskData:
    """Count a task's rows, and take some of them where they may be shown.

    Args:
        task: The task with its rows.
        splits: By name, its rows as sequences.
        tests: The rows that are measured on only once.
        shown: Whether some rows may stand on a public page.
        skipped: By split and reason, the rows that could not be used and were left out.
    """
    numbers = {name: _numbers(task, split) for name, split in splits.items()}
    if tests is not None:
        numbers["test"] = SplitNumbers(rows=len(tests))
    mode, size = _image_of(task, splits)
    show = shown and not task.own_kind.reads_images
    first = list(splits.values())[:1] if show else []
    samples = tuple(_sample(task, split.source[row]) for split in first for row in _used(split)[:_SAMPLES])
    return TaskData(numbers, samples, mode, size, dict(skipped))


def _used(split: EncodedSplit) -> list[int]:
    """The numbers of the rows that have a label and can be used, ascending."""
    return list(dict.fromkeys(split.rows["row"]))


def _numbers(task: Task, split: EncodedSplit) -> SplitNumbers:
    facts = split.facts()
    images = task.own_kind.reads_images
    return SplitNumbers(
        rows=facts.rows,
        unlabelled=facts.unlabelled,
        tokens=None if images else facts.tokens,
        longest=None if images else facts.longest,
        truncated=facts.truncated,
        labels=_label_counts(task, split),
    )


def _label_counts(task: Task, split: EncodedSplit) -> dict[str, int]:
    """How often each label occurs, in the labels' order; nothing where the labels are not a closed set."""
    column, labels, rows = _label_column(task), task.declared.labels, split.source
    if column is None or labels is None or column not in rows.column_names or len(labels) > _LABELS:
        return {}
    counts: Counter[str] = Counter()
    used = set(_used(split))
    for row, value in enumerate(rows[column]):
        if row in used:
            counts.update(_labels_of(task, value, labels))
    return {label: counts[label] for label in labels}


def _label_column(task: Task) -> str | None:
    """The column that holds a row's label or labels."""
    kind, declared = task.own_kind, task.declared
    if kind.label_role is not None:
        return declared.columns.get(kind.label_role, kind.roles[kind.label_role].column)
    if isinstance(declared.template, PromptCompletion):
        fields = pattern_fields(declared.template.completion, declared.template.engine)
        return fields[0] if len(fields) == 1 else None
    return None


def _labels_of(task: Task, value: Any, labels: tuple[str, ...]) -> Iterable[str]:  # Any: what a row holds
    """The names of a row's labels."""
    kind, declared = task.own_kind, task.declared
    if kind.label_role is None:
        return [str(value)]
    if is_missing(value):
        return []
    if kind.multi_label:
        return [
            label
            for label, own in zip(labels, label_vector(value, declared, what="label"), strict=True)
            if own == 1
        ]
    each = value if isinstance(value, list) else [value]
    return [labels[label_number(own, declared, what="label")] for own in each if not is_missing(own)]


def _image_of(task: Task, splits: Mapping[str, EncodedSplit]) -> tuple[str | None, tuple[int, int] | None]:
    """Mode and size of the first image; None where it is no decoded picture."""
    if not splits or not task.own_kind.reads_images:
        return None, None
    from PIL import Image

    split = next(iter(splits.values()))
    first = split.source[_used(split)[0]]
    image = first.get(task.declared.columns.get("image", task.own_kind.roles["image"].column))
    return (image.mode, image.size) if isinstance(image, Image.Image) else (None, None)


def _sample(task: Task, row: Row) -> dict[str, str]:
    return {str(column): _shown(task, str(column), value) for column, value in row.items()}


def _shown(task: Task, column: str, value: Any) -> str:  # Any: what a row holds
    """A value as text, cut where it is long."""
    if (
        column == _label_column(task)
        and task.own_kind.label_role
        and task.declared.labels
        and value is not None
    ):
        text = " ".join(_labels_of(task, value, task.declared.labels))
    elif isinstance(value, str):
        text = value
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        text = " ".join(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[:_LONGEST].rstrip() + " …"
