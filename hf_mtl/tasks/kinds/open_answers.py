"""Whether a task's answers are short, so that the share of exact ones says something, or open.

Of a chat or a long completion hardly any is written word for word: its exact match is 0 and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING

from hf_mtl.data import PromptCompletion, Row, RowTable, RowTemplate, fill_pattern, pattern_fields
from hf_mtl.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

__all__ = ["OPEN_METRICS", "short_answers"]

OPEN_METRICS = ("perplexity", "token_accuracy")
"""What is measured of open answers, beside the loss."""

_ROWS = 256
_MEDIAN, _LONGEST = 32, 128  # characters: about 8 and 32 tokens of English


def short_answers(template: RowTemplate, rows: Dataset | IterableDataset | RowTable | None) -> bool:
    """Whether the completions of the first 256 rows are short: 32 characters in the median, 128 at most.

    A chat's answers are open. So are those that cannot be looked at before training: of a stream, of a template that is
    a function, of rows with a transform of the user's.

    >>> rows = RowTable({"lemma": ["sing"], "past": ["sang"]})
    >>> short_answers(PromptCompletion("{lemma} ->", " {past}"), rows)
    True
    """
    if not isinstance(template, PromptCompletion):
        return False
    lengths = []
    for row in _first(rows, pattern_fields(template.completion, template.engine)):
        try:
            lengths.append(len(fill_pattern(template.completion, row, template.engine)))
        except (DataError, ValueError):  # reported with its number where all rows are checked
            continue
    return bool(lengths) and median(lengths) <= _MEDIAN and max(lengths) <= _LONGEST


def _first(rows: Dataset | IterableDataset | RowTable | None, fields: Sequence[str]) -> Iterable[Row]:
    """The rows that are looked at; none of those that cannot be."""
    if isinstance(rows, RowTable):
        return rows.first(_ROWS)
    from datasets import Dataset

    if not isinstance(rows, Dataset) or rows.format["type"] is not None or not len(rows):
        return ()
    found: Iterable[Row] = rows.select(range(min(_ROWS, len(rows)))).select_columns(list(fields))
    return found
