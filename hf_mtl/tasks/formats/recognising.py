"""Which format a task's rows have, where the task does not say how they are to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from datasets import Dataset, IterableDataset

from hf_mtl.data import PromptCompletion
from hf_mtl.errors import ConfigError
from hf_mtl.tasks.formats.columns import Columns, Sort
from hf_mtl.tasks.formats.heads import head_readings
from hf_mtl.tasks.formats.labels import found_labels
from hf_mtl.tasks.formats.reading import Reading
from hf_mtl.tasks.formats.texts import METADATA, text_readings
from hf_mtl.tasks.kinds import kind_of

__all__ = ["Recognised", "is_recognisable", "recognise"]

_WRITERS = ("causal-lm", "seq2seq-lm")
_LABELS_SHOWN = 8


@dataclass(frozen=True)
class Recognised:
    """How a task's rows are read.

    Args:
        reading: The kind, the columns or the template.
        labels: The labels that the training rows hold, or their number; None where the rows' features say them, and
            for kinds without labels.
        line: What was recognised, in one line.
    """

    reading: Reading
    labels: tuple[str, ...] | int | None
    line: str


def recognise(
    rows: Dataset | IterableDataset,
    *,
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Sequence[str] | int | None = None,
    encoder_decoder: bool = False,
) -> Recognised:
    """Recognise how rows are to be read from their columns.

    Args:
        rows: The rows to learn from.
        kind: The kind, if the task names it: only its formats are tried.
        columns: By role, the columns that the task names.
        labels: The labels that the task lists.
        encoder_decoder: Whether the base is an encoder-decoder, for which texts are written by `seq2seq-lm`.

    Raises:
        ConfigError: If the rows can be read in no way, or in several; the ways are listed, and how to choose one.

    Example:
        >>> rows = Dataset.from_dict({"text": ["A joy.", "Dull."], "label": ["good", "bad"]})
        >>> recognise(rows).line
        'text-classification from text + label, 2 labels: bad, good'
    """
    found = Columns.of(rows, columns or {})
    _refuse_preferences(found)
    readings = _readings(found, kind, columns or {})
    if len(readings) != 1:
        raise ConfigError(_refusal(found, readings, kind))
    reading = _settled(readings[0], rows, kind, encoder_decoder=encoder_decoder)
    in_rows = None
    if labels is None and not _in_features(found, reading):
        in_rows = _labels(rows, reading)
    return Recognised(reading, in_rows, _line(found, reading, in_rows))


def is_recognisable(rows: Dataset | IterableDataset, *, kind: str, columns: Mapping[str, str]) -> bool:
    """Whether rows can be read in some way as a kind, with the columns that the task names."""
    return bool(_readings(Columns.of(rows, columns), kind, columns))


def _readings(found: Columns, kind: str | None, columns: Mapping[str, str]) -> list[Reading]:
    """The readings that fit what the task says, without those that leave columns of another out."""
    wanted = _WRITERS if kind in _WRITERS else (kind,)
    return _largest(
        [
            reading
            for reading in (*text_readings(found), *head_readings(found, kind))
            if kind is None or reading.kind in wanted
            if columns.items() <= reading.columns.items()
        ]
    )


def _in_features(columns: Columns, reading: Reading) -> bool:
    """Whether the rows' features name the labels of a reading."""
    role = kind_of(reading.spec).label_role
    return role is not None and columns.sorts[reading.columns[role]] in (Sort.CLASS, Sort.CLASSES)


def _largest(readings: Sequence[Reading]) -> list[Reading]:
    """Readings whose columns are not only some of another's: a text with a label is more than a text."""
    largest: list[Reading] = []
    for reading in readings:
        smaller = any(set(reading.used) < set(other.used) for other in readings)
        if not smaller and reading not in largest:
            largest.append(reading)
    return largest


def _settled(
    reading: Reading, rows: Dataset | IterableDataset, kind: str | None, *, encoder_decoder: bool
) -> Reading:
    if reading.kind in _WRITERS:
        return replace(reading, kind=kind or ("seq2seq-lm" if encoder_decoder else "causal-lm"))
    if reading.kind == "question-answering" and _some_unanswered(rows, reading.columns["answers"]):
        return replace(reading, options={"unanswerable": True})
    return reading


def _some_unanswered(rows: Dataset | IterableDataset, column: str) -> bool:
    """Whether a question has no answer, as in SQuAD 2.0."""
    if not isinstance(rows, Dataset):
        return False
    return any(
        value is not None and not value["text"]
        for batch in rows.with_format(None).select_columns(column).iter(1000)
        for value in batch[column]
    )


def _labels(rows: Dataset | IterableDataset, reading: Reading) -> tuple[str, ...] | int | None:
    kind = kind_of(reading.spec)
    role = kind.label_role
    if role is None:
        return None
    return found_labels(rows, reading.columns[role], multi_label=kind.multi_label)


def _line(columns: Columns, reading: Reading, labels: tuple[str, ...] | int | None) -> str:
    parts = [f"{reading.kind} from {reading.form}"]
    if reading.options.get("problem_type") == "multi_label":
        parts[0] = f"multi-label {parts[0]}"
    if reading.options.get("unanswerable"):
        parts.append("some of them without an answer")
    if isinstance(labels, int):
        parts.append(f"{labels} labels, numbered from 0")
    elif labels is not None:
        shown = ", ".join(labels[:_LABELS_SHOWN]) + (", ..." if len(labels) > _LABELS_SHOWN else "")
        parts.append(f"{len(labels)} labels: {shown}")
    about = columns.named(METADATA, *Sort)
    unused = [column for column in columns.sorts if column not in (*reading.used, *about)]
    text = ", ".join(parts)
    return f"{text} (not used: {', '.join(unused)})" if unused else text


def _refuse_preferences(columns: Columns) -> None:
    """Rows that say which of two answers is better, or whether one is good, are not to be learned as they stand."""
    if columns.named(["chosen"], *Sort) and columns.named(["rejected"], *Sort):
        raise ConfigError(
            "the rows are preferences (chosen, rejected), which are not what a task learns from. To learn the chosen "
            "answers, say so: template: {prompt: '{prompt}', completion: '{chosen}'}, or {messages: chosen} for a "
            "column of messages."
        )
    prompted = columns.named(["prompt"], *Sort) and columns.named(["completion"], *Sort)
    if prompted and columns.named(["label"], Sort.TRUTH):
        raise ConfigError(
            "the rows are judged answers (prompt, completion, and a label that is true or false); the bad ones "
            "would be learned too. Keep the good ones and leave the column out, or say the template yourself."
        )


def _refusal(columns: Columns, readings: Sequence[Reading], kind: str | None) -> str:
    asked = "" if kind is None else f" as {kind}"
    if readings:
        ways = "; or ".join(f"{reading.kind} from {reading.form} ({reading.how})" for reading in readings)
        return f"the rows can be read{asked} in {len(readings)} ways: {ways}. Choose one by saying so in the task."
    templates = PromptCompletion.__name__
    return (
        f"the format of the rows is not recognised{asked}: their columns are {columns.described() or 'none'}. Say how "
        f"they are to be read: a template ({{prompt: ..., completion: ...}} or {{messages: COLUMN}}; in Python "
        f"{templates} or Chat), or a kind with columns ({{text: COLUMN, label: COLUMN}}). Known formats: docs/data.md."
    )
