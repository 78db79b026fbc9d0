"""All that the model cards of a suite show, as plain data: the file that they are rendered from.

    SuiteFacts.load("runs/quickstart/cards.json").tasks[0].name

Nothing of the machine that trained is in it: no path, no user, no token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter

from hf_mtl.files import write_text
from hf_mtl.files.records import checked_record, read_record
from hf_mtl.printable import json_text

__all__ = [
    "FACTS_FILE",
    "BaseFacts",
    "Figure",
    "RowsFacts",
    "Setting",
    "SplitNumbers",
    "SuiteFacts",
    "TaskFacts",
]

FACTS_FILE = "cards.json"
_WHAT = "the facts of model cards"
FORMAT_VERSION = 1

# JSON has no NaN, and a figure that became NaN must survive the file.
_RULES = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


@dataclass(frozen=True)
class Figure:
    """One metric of a task.

    Args:
        metric: Its key.
        value: After training.
        low: The lower end of its 95 % interval.
        high: The upper end.
        before: What the base gave before training.
        constant: What the best constant answer gives.
        alone: What the task gave when it was trained alone.
        test: On the rows that were measured on only once.
        over_seeds: By way of training, mean and half of the 95 % interval over seeds, as text.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    metric: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    before: float | None = None
    constant: float | None = None
    alone: float | None = None
    test: float | None = None
    over_seeds: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SplitNumbers:
    """What is in a split; None where it was not counted.

    Args:
        rows: Its rows.
        unlabelled: Those of them without a label.
        tokens: The tokens of all sequences.
        longest: The tokens of the longest.
        truncated: Rows that do not fit whole.
        labels: How often each label occurs; empty where labels cannot be counted.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    rows: int
    unlabelled: int | None = None
    tokens: int | None = None
    longest: int | None = None
    truncated: int | None = None
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RowsFacts:
    """One split's rows.

    Args:
        split: `train`, `eval` or `test`.
        source: The name of a file, a package or a data set on the Hub.
        hub_id: The same rows on the Hub, or those that they were taken from.
        nearest: The nearest data set on the Hub, where the same is not there.
        config: The configuration on the Hub.
        hub_split: The split on the Hub.
        revision: The revision on the Hub.
        licence: The licence of the rows.
        note: What a reader should know about them.
        drawn: Which of the rows were used.
        numbers: What is in it.
        skipped: By reason, the rows that could not be used and were left out.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    split: str
    source: str
    hub_id: str | None = None
    nearest: str | None = None
    config: str | None = None
    hub_split: str | None = None
    revision: str | None = None
    licence: str | None = None
    note: str | None = None
    drawn: str | None = None
    numbers: SplitNumbers | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """A setting that is not what it is by default; both as text."""

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    name: str
    value: str
    default: str | None = None


@dataclass(frozen=True)
class TaskFacts:
    """One task.

    Args:
        name: The task.
        folder: The folder of its adapter, relative to the suite's; None where it has none of its own.
        about: What it is for, in a sentence.
        kind: The kind of task.
        multi_label: Whether a row may have several labels.
        labels: The labels' names.
        columns: By the parts of the kind's rows, the columns or `{field}` patterns that the task names itself.
        template: Prompt and completion, or the column of messages.
        max_length: Most tokens of a row.
        ends: The tokens that end its answers, where it writes; they are in its folder's `generation_config.json`.
        auto_class: The auto class of transformers that the adapter goes with.
        outputs: The outputs of its own head; None for the vocabulary head.
        peft_type: The kind of adapter.
        rank: The rank of a LoRA, the largest where it has several.
        served_by_vllm: Whether vLLM can take the adapter.
        parameters: How many numbers are in its files.
        adapter: The adapter's settings.
        settings: The task's training settings.
        rows: Where its rows come from.
        samples: Some rows, as text by column; empty where they may not be shown.
        image_mode: The mode of its images, as Pillow calls it.
        image_size: Their width and height.
        figures: The results, the main one first.
        evaluated_rows: The rows behind them.
        chosen_by: The metric by which the best weights were kept.
        losses: The training loss, as (round, loss).
        steps: Its optimizer steps.
        examples: The rows that it learned from, counted with repetitions.
        tokens: Their tokens.
        seconds: Its share of the training time.
        licence: The adapter's licence.
        languages: The codes of its languages.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    name: str
    kind: str
    auto_class: str
    folder: str | None = None
    about: str | None = None
    multi_label: bool = False
    labels: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    template: Mapping[str, Any] | None = None  # Any: a chat's options are plain JSON
    max_length: int | None = None
    ends: tuple[str, ...] = ()
    outputs: int | None = None
    peft_type: str = "LORA"
    rank: int | None = None
    served_by_vllm: bool = False
    parameters: int | None = None
    adapter: tuple[Setting, ...] = ()
    settings: tuple[Setting, ...] = ()
    rows: tuple[RowsFacts, ...] = ()
    samples: tuple[Mapping[str, str], ...] = ()
    image_mode: str | None = None
    image_size: tuple[int, int] | None = None
    figures: tuple[Figure, ...] = ()
    evaluated_rows: int | None = None
    chosen_by: str | None = None
    losses: tuple[tuple[int, float], ...] = ()
    steps: int | None = None
    examples: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    licence: str | None = None
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class BaseFacts:
    """The base.

    Args:
        hub_id: Its id on the Hub.
        asset: The asset that the weights came from.
        folder: The folder of this machine that they came from, where there is no id and no asset.
        note: In what they differ from the Hub's.
        licence: Its licence, where it is known.
        dtype: The numbers that it was loaded in.
        quantization: `4bit` or `8bit`, where it was quantised.
        fingerprint: Of its weights.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    hub_id: str | None = None
    asset: str | None = None
    folder: str | None = None
    note: str | None = None
    licence: str | None = None
    dtype: str | None = None
    quantization: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True)
class SuiteFacts:
    """A suite of tasks.

    Args:
        name: What the run is called.
        base: The base.
        tasks: The tasks, in the recipe's order.
        sharing: Which adapters the tasks had in common.
        objective: What made the updates of the shared parameters.
        settings: The training settings of all tasks.
        environment: Versions and device.
        seeds: The seeds behind `Figure.over_seeds`.
        isolation: What ties the tasks together on this base, where they were trained nevertheless; None for nothing.
    """

    __pydantic_config__: ClassVar[ConfigDict] = _RULES

    name: str
    base: BaseFacts
    tasks: tuple[TaskFacts, ...]
    sharing: str = "private"
    objective: str = "equal"
    settings: tuple[Setting, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    isolation: str | None = None

    def content(self) -> dict[str, Any]:  # Any: plain JSON
        """As JSON."""
        return {"format_version": FORMAT_VERSION, **json.loads(_ADAPTER.dump_json(self))}

    def save(self, path: str | Path) -> None:
        """Write the file."""
        write_text(path, json_text(self.content(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> SuiteFacts:
        """Read what `save` wrote.

        Raises:
            CheckpointError: There is no such file, it is of another form, or a newer version wrote it.
        """
        _, content = read_record(path, _WHAT, newest=FORMAT_VERSION)
        return checked_record(path, _WHAT, _ADAPTER, content)


_ADAPTER = TypeAdapter(SuiteFacts)
