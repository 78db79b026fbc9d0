"""A task's rows as tokens, ready to be packed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import (
    Encoded,
    PromptCompletion,
    Row,
    RowTemplate,
    Sequence,
    encode_rendered,
    encode_rows,
    render,
)
from hf_mtl.errors import ConfigError
from hf_mtl.tasks.task import Task

__all__ = ["EncodedSplit", "encode_candidates", "encode_split", "prompt_of", "row_encoder"]


@dataclass(frozen=True)
class EncodedSplit:
    """The tokens of a task's `train` or `eval` rows.

    Args:
        task: The task's name.
        rows: A data set with `input_ids`, `labels`, `truncated`.
        virtual: The virtual tokens that the task's route puts before each row.
    """

    task: str
    rows: Dataset
    virtual: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def sequence(self, row: int, *, dropout_key: int = 0) -> Sequence:
        """The sequence of one row."""
        encoded = self.rows[row]
        sequence = Sequence.next_token(self.task, encoded["input_ids"], encoded["labels"], row, dropout_key)
        return replace(sequence, virtual=self.virtual)

    @property
    def tokens(self) -> int:
        """The tokens of all rows."""
        return sum(map(len, self.rows["input_ids"]))

    @property
    def truncated(self) -> int:
        """How many rows were cut at `max_length`."""
        return sum(self.rows["truncated"])


def row_encoder(task: Task, tokenizer: PreTrainedTokenizerBase) -> Callable[[Row], Encoded]:
    """What makes the tokens and labels of one of the task's rows; it raises DataError for one that cannot be used."""
    return partial(_encode_row, template=task.template, tokenizer=tokenizer, max_length=task.max_length)


def _encode_row(
    row: Row, *, template: RowTemplate, tokenizer: PreTrainedTokenizerBase, max_length: int | None
) -> Encoded:
    return encode_rendered(render(template, row, tokenizer), tokenizer, max_length=max_length)


def encode_split(
    task: Task, rows: Dataset, tokenizer: PreTrainedTokenizerBase, *, split: str, virtual: int = 0
) -> EncodedSplit:
    """Tokenise all rows of a task's split, checking every one of them.

    Args:
        task: The task.
        rows: Its rows.
        tokenizer: The base's tokenizer.
        split: The split's name, for messages.
        virtual: The virtual tokens that the task's route puts before each row.

    Raises:
        DataError: Naming task, split and row, if a row cannot be used.
    """
    encode = row_encoder(task, tokenizer)
    return EncodedSplit(task.name, encode_rows(rows, encode, where=f"task {task.name!r}, {split}"), virtual)


def encode_candidates(task: Task, tokenizer: PreTrainedTokenizerBase) -> dict[str, tuple[int, ...]]:
    """The tokens of each label's completion, keyed by the completion's text; empty for a task without labels.

    Raises:
        ConfigError: If two labels have the same tokens, so that no ranking can tell them apart.
    """
    candidates = {
        completion: tuple(tokenizer(completion, add_special_tokens=False)["input_ids"])
        for completion in map(task.completion_of, task.labels or ())
    }
    if len(set(candidates.values())) < len(candidates) or () in candidates.values():
        raise ConfigError(
            f"task {task.name!r}: two of the labels {list(task.labels or ())!r} become the same tokens."
        )
    return candidates


def prompt_of(task: Task, row: Row, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that the model is given for a row when it is to answer."""
    if isinstance(task.template, PromptCompletion):
        return task.template.prompt_text(row)
    pieces = render(task.template, row, tokenizer).pieces
    last = max(i for i, piece in enumerate(pieces) if piece.learned)
    return "".join(piece.text for piece in pieces[:last])
