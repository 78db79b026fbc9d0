"""What a task says of its rows and what is recognised in them, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hf_mtl.data import PromptCompletion, RowTable, RowTemplate, pattern_fields
from hf_mtl.tasks.formats import Rows
from hf_mtl.tasks.kinds import Kind, kind_of

__all__ = ["Settled", "settle"]

DEFAULT = PromptCompletion("{prompt}", "{completion}")


@dataclass(frozen=True)
class Settled:
    """How a task's rows are read.

    Args:
        kind: The kind, by name, with options, or as an object.
        columns: By role, the column.
        template: How a row becomes text; None for kinds with a private head.
        labels: The labels, or their number; None where the rows' features name them.
        line: What was recognised, in one line; None where the task says all.
    """

    kind: str | Mapping[str, Any] | Kind  # Any: options of a kind
    columns: Mapping[str, str]
    template: RowTemplate | None
    labels: Sequence[str] | int | None
    line: str | None = None


def settle(
    rows: Rows | None,
    *,
    kind: str | Mapping[str, Any] | Kind | None,  # Any: options of a kind
    columns: Mapping[str, str],
    template: RowTemplate | None,
    labels: Sequence[str] | int | None,
    encoder_decoder: bool = False,
) -> Settled:
    """Recognise what a task leaves open; what it says stays.

    Args:
        rows: The rows to learn from, or, without any, those to measure on; None where they are not at hand.
        kind: The kind, if the task names it.
        columns: By role, the columns that the task names.
        template: The task's template.
        labels: The labels that the task lists.
        encoder_decoder: Whether the base is an encoder-decoder.

    Raises:
        ConfigError: If the rows can be read in no way, or in several; or there is no such kind.
    """
    if (
        template is not None
        or rows is None
        or (kind is not None and _is_enough(kind_of(kind), rows, columns))
    ):
        return Settled("causal-lm" if kind is None else kind, columns, template, labels)
    from hf_mtl.tasks.formats import is_recognisable, recognise

    rows = rows.dataset() if isinstance(rows, RowTable) else rows
    name = None if kind is None else kind_of(kind).name
    if kind is not None and name is not None and not is_recognisable(rows, kind=name, columns=columns):
        return Settled(
            kind, columns, template, labels
        )  # the kind's message about its columns is the better one
    found = recognise(rows, kind=name, columns=columns, labels=labels, encoder_decoder=encoder_decoder)
    reading = found.reading
    said = reading.spec if kind is None or isinstance(kind, str) else kind
    labels = found.labels if labels is None else labels
    return Settled(said, reading.columns, reading.template, labels, found.line)


def _is_enough(kind: Kind, rows: Rows, columns: Mapping[str, str]) -> bool:
    """Whether rows have the parts of a kind where the task says they are, or where they usually are.

    Where it names all of them, or some that are not there, the message about those is the better one.
    """
    known = rows.column_names
    if not known:
        return True
    if not kind.roles:
        return kind.name == "label-scoring" or bool(columns) or set(DEFAULT.fields) <= set(known)
    named = {name for column in columns.values() for name in pattern_fields(column) or (column,)}
    if not named <= set(known) or not set(columns) <= set(kind.roles):
        return True
    left = [role for role, own in kind.roles.items() if own.required and role not in columns]
    return all(kind.roles[role].column in known for role in left)
