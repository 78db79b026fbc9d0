"""A task's rows as sequences, ready to be packed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset

from hf_mtl.data import Sequence, SkippedRows, encode_rows
from hf_mtl.errors import ConfigError
from hf_mtl.notices import logger_of
from hf_mtl.tasks.kinds import Context, LanguageModelling
from hf_mtl.tasks.row_encoder import RowEncoder
from hf_mtl.tasks.task import Task

logger = logger_of(__name__)

__all__ = ["EncodedSplit", "SplitFacts", "encode_split"]


@dataclass(frozen=True)
class SplitFacts:
    """What is in a split.

    Args:
        rows: Its rows.
        unlabelled: Those of them without a label, which are left out.
        sequences: The sequences of the others; a long context makes several.
        tokens: The tokens of all sequences.
        longest: The tokens of the longest one.
        truncated: Rows that do not fit whole: cut off, or read in several windows.
        skipped: By reason, the rows that cannot be used and were left out.
    """

    rows: int
    unlabelled: int
    sequences: int
    tokens: int
    longest: int
    truncated: int
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodedSplit:
    """The sequences of a task's `train` or `eval` rows.

    Args:
        encoder: What made them.
        source: The rows themselves.
        rows: A data set with the fields of `Example` and `row`, a line per sequence.
        skipped: The rows that cannot be used and were left out.
    """

    encoder: RowEncoder
    source: Dataset
    rows: Dataset
    skipped: SkippedRows = field(default_factory=SkippedRows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def task(self) -> str:
        """The task's name."""
        return self.encoder.task.name

    def sequence(self, line: int, *, dropout_key: int = 0) -> Sequence:
        """One sequence."""
        example = self.rows[line]
        images = self.encoder.task.own_kind.reads_images
        source = self.source[example["row"]] if images else None
        return self.encoder.sequence(example, row=example["row"], dropout_key=dropout_key, source=source)

    @property
    def lengths(self) -> list[int]:
        """The tokens of each sequence; an image counts as one."""
        return [max(1, len(ids)) for ids in self.rows["input_ids"]]

    @property
    def tokens(self) -> int:
        """The tokens of all sequences."""
        return sum(self.lengths)

    @property
    def truncated(self) -> int:
        """How many rows do not fit whole."""
        return len({row for row, cut in zip(self.rows["row"], self.rows["truncated"], strict=True) if cut})

    def labelled(self) -> Iterator[Mapping[str, list[Any]]]:  # Any: the fields of `Example`
        """What is learned of all sequences, in batches: `label_positions`, `label_ids`, `truncated`."""
        learned = self.rows.select_columns(["label_positions", "label_ids", "truncated"])
        batches: Iterator[Mapping[str, list[Any]]] = learned.with_format(None).iter(1000)
        return batches

    def facts(self) -> SplitFacts:
        """What is in it."""
        return SplitFacts(
            rows=len(self.source),
            unlabelled=len(self.source) - len(set(self.rows["row"])) - len(self.skipped),
            sequences=len(self.rows),
            tokens=self.tokens,
            longest=max(len(ids) for ids in self.rows["input_ids"]),
            truncated=self.truncated,
            skipped=self.skipped.counts,
        )


def encode_split(
    task: Task, rows: Dataset, context: Context, *, split: str, virtual: int = 0
) -> EncodedSplit:
    """Tokenise all rows of a task's split, checking every one of them.

    Args:
        task: The task.
        rows: Its rows.
        context: The task on its base.
        split: The split's name, for messages.
        virtual: The virtual tokens that the task's route puts before each row.

    Raises:
        DataError: Naming task, split and row, if a row cannot be used; of a task with `on_bad_row="skip"`, if none can.
        ConfigError: If the kind cannot read any row, for example for want of a chat template.
    """
    encoder = RowEncoder(task, context, virtual)
    where, skipped = f"task {task.name!r}, {split}", SkippedRows()
    try:
        encoded = encode_rows(
            rows, encoder.examples, where=where, skipped=skipped if task.on_bad_row == "skip" else None
        )
    except ConfigError as error:
        raise ConfigError([f"task {task.name!r}: {problem}" for problem in error.problems]) from error
    split_rows = EncodedSplit(encoder, rows, encoded, skipped)
    if skipped:
        logger.warning("%s: of %d rows, %s", where, len(rows), skipped)
    _say_what_differs(split_rows, split)
    return split_rows


def _say_what_differs(encoded: EncodedSplit, split: str) -> None:
    """Name, with counts, where rows are not simply one text each whose prompt is tokenised as it is alone."""
    if not isinstance(encoded.encoder.task.own_kind, LanguageModelling):
        return
    where, rows = f"task {encoded.task!r}, {split}", len(set(encoded.rows["row"]))
    if len(encoded) > rows:
        logger.info(
            "%s: the chat template renders earlier turns differently once more follow, so that each of the assistant's "
            "turns is a sequence of its own: %d sequences of %d conversations.",
            where, len(encoded), rows,
        )  # fmt: skip
    if merged := sum(encoded.rows["merged"]):
        logger.warning(
            "%s: in %d of %d sequences the last token of the prompt and the first of the answer are one token, which a "
            "prompt alone does not have. Begin completions with a space or a line break, and end prompts with none.",
            where, merged, len(encoded),
        )  # fmt: skip
