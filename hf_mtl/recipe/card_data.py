"""What the cards of a run say of its rows and its machine: taken while these are at hand, and kept in `data.json`."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from datasets import Dataset
from pydantic import ConfigDict, TypeAdapter

from hf_mtl.data import ASSET_PREFIX, ASSETS, PromptCompletion, Row, pattern_fields
from hf_mtl.evaluation.page import RecordFile
from hf_mtl.export.cards import SplitNumbers
from hf_mtl.recipe.schema import TaskSpec
from hf_mtl.tasks import EncodedSplit, Task
from hf_mtl.tasks.kinds.labels import is_missing, label_number, label_vector

__all__ = ["DATA", "RunData", "TaskData", "data_of", "may_show_rows", "this_environment"]

_SAMPLES = 3
_LONGEST = 300  # characters of a value
_LABELS = 200  # kinds of label that are counted
_VERSIONS = ("accelerate", "datasets", "huggingface_hub", "tokenizers", "safetensors")
_RULES = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class TaskData:
    """A task's rows.

    Args:
        numbers: By split, what is in it.
        samples: Some training rows as text; none where they may not be passed on.
        image_mode: The mode of its images, as Pillow calls it.
        image_size: Their width and height.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    numbers: Mapping[str, SplitNumbers] = field(default_factory=dict)
    samples: tuple[Mapping[str, str], ...] = ()
    image_mode: str | None = None
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class RunData:
    """The rows of all tasks, and what the run ran on."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    tasks: Mapping[str, TaskData] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


DATA: RecordFile[RunData] = RecordFile("data.json", TypeAdapter(RunData))
"""The file in a run's folder."""


def data_of(
    task: Task, spec: TaskSpec, splits: Mapping[str, EncodedSplit], tests: Dataset | None = None
) -> TaskData:
    """Count a task's rows, and take some of them where they may be shown.

    Args:
        task: The task with its rows.
        spec: What the recipe says of it.
        splits: By name, its rows as sequences.
        tests: The rows that are measured on only once.
    """
    numbers = {name: _numbers(task, split) for name, split in splits.items()}
    if tests is not None:
        numbers["test"] = SplitNumbers(rows=len(tests))
    mode, size = _image_of(task, splits)
    shown = may_show_rows(spec) and not task.own_kind.reads_images
    first = [split.source for split in splits.values()][:1] if shown else []
    samples = tuple(
        _sample(task, row) for rows in first for row in rows.select(range(min(_SAMPLES, len(rows))))
    )
    return TaskData(numbers, samples, mode, size)


def may_show_rows(spec: TaskSpec) -> bool:
    """Whether some rows may stand on a public page.

    Those of an asset may where its licence allows it; those of a file or of the Hub where the recipe names their
    licence, for they may be somebody's own.
    """
    rows = spec.train or spec.eval
    if rows is None:
        return False
    if rows.source.startswith(ASSET_PREFIX):
        return ASSETS[rows.source.removeprefix(ASSET_PREFIX)].rows_may_be_shown
    return spec.card.rows_license is not None


def this_environment() -> dict[str, str]:
    """Versions and device, beside what a report says of them; nothing that tells whose machine it is."""
    versions = {name: importlib.metadata.version(name) for name in _VERSIONS}
    cuda = torch.cuda.is_available()
    threads = torch.get_num_threads()
    on_cpu = f"{platform.machine()} CPU, {threads} thread{'' if threads == 1 else 's'}"
    device = torch.cuda.get_device_name() if cuda else on_cpu
    return {"python": platform.python_version(), **versions, "hardware": device}


def _numbers(task: Task, split: EncodedSplit) -> SplitNumbers:
    facts = split.facts()
    images = task.own_kind.reads_images
    return SplitNumbers(
        rows=facts.rows,
        unlabelled=facts.unlabelled,
        tokens=None if images else facts.tokens,
        longest=None if images else facts.longest,
        truncated=facts.truncated,
        labels=_label_counts(task, split.source),
    )


def _label_counts(task: Task, rows: Dataset) -> dict[str, int]:
    """How often each label occurs, in the labels' order; nothing where the labels are not a closed set."""
    column, labels = _label_column(task), task.declared.labels
    if column is None or labels is None or column not in rows.column_names or len(labels) > _LABELS:
        return {}
    counts: Counter[str] = Counter()
    for value in rows[column]:
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
    first = next((split.source[0] for split in splits.values() if len(split.source)), None)
    if first is None or not task.own_kind.reads_images:
        return None, None
    from PIL import Image

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
