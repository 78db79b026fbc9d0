"""R8: news of Reuters with one of eight topics, letters only and in lower case; the split that papers report on.

D. D. Lewis, "Reuters-21578 Text Categorization Test Collection", 1997, in the form of A. Cardoso-Cachopo, "Improving
Methods for Single-label Text Categorization", 2007.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from datasets import ClassLabel, Features, Value

from hf_mtl.data.conversions.splits import order_key, save_splits
from hf_mtl.errors import DataError

__all__ = ["convert_reuters_r8"]

_FILES: Final = {"train": "reuters-r8-train.tab", "test": "reuters-r8-test.tab"}
_TOPICS: Final = ("acq", "crude", "earn", "grain", "interest", "money-fx", "ship", "trade")
_HEADER_LINES: Final = 3  # the columns' names, types and roles, as Orange writes them
_FEATURES: Final = Features({"text": Value("string"), "label": ClassLabel(names=list(_TOPICS))})


def convert_reuters_r8(source: Path, folder: Path) -> None:
    """Read both files and save train and test, each scattered; no row is left out, though some texts stand twice."""
    splits = {
        split: sorted(_rows(source / name), key=lambda row: order_key(row["text"]))
        for split, name in _FILES.items()
    }
    save_splits(splits, _FEATURES, folder)


def _rows(file: Path) -> Iterator[dict[str, str]]:
    lines = file.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[_HEADER_LINES:], start=_HEADER_LINES + 1):
        if not line:  # between the header and the rows
            continue
        topic, _, text = line.partition("\t")
        if topic not in _TOPICS:
            raise DataError(
                f"{file.name}, line {number}: expected one of {', '.join(_TOPICS)} and a tab, found {topic!r:.40}."
            )
        yield {"text": text.strip(), "label": topic}
