"""Whether a task's answers are short, so that the share of exact ones says something, or open.

Of a chat or a long completion hardly any is written word for word: its exact match is 0 and says nothing.
"""

from __future__ import annotations

from statistics import median

from datasets import Dataset, IterableDataset

from hf_mtl.data import PromptCompletion, RowTemplate, fill_pattern, pattern_fields
from hf_mtl.errors import DataError

__all__ = ["OPEN_METRICS", "short_answers"]

OPEN_METRICS = ("perplexity", "token_accuracy")
"""What is measured of open answers, beside the loss."""

_ROWS = 256
_MEDIAN, _LONGEST = 32, 128  # characters: about 8 and 32 tokens of English


def short_answers(template: RowTemplate, rows: Dataset | IterableDataset | None) -> bool:
    """Whether the completions of the first 256 rows are short: 32 characters in the median, 128 at most.

    A chat's answers are open. So are those that cannot be looked at before training: of a stream, of a template that is
    a function, of rows with a transform of the user's.

    >>> rows = Dataset.from_list([{"lemma": "sing", "past": "sang"}])
    >>> short_answers(PromptCompletion("{lemma} ->", " {past}"), rows)
    True
    """
    if not isinstance(template, PromptCompletion) or not isinstance(rows, Dataset):
        return False
    if rows.format["type"] is not None or not len(rows):
        return False
    lengths = []
    fields = list(pattern_fields(template.completion, template.engine))
    for row in rows.select(range(min(_ROWS, len(rows)))).select_columns(fields):
        try:
            lengths.append(len(fill_pattern(template.completion, row, template.engine)))
        except (DataError, ValueError):  # told with its number where all rows are checked
            continue
    return bool(lengths) and median(lengths) <= _MEDIAN and max(lengths) <= _LONGEST
