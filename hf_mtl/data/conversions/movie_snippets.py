"""Movie review snippets with the mean of human ratings: text, rating, label by the rating's sign.

C. J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
ICWSM 2014.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Final

from datasets import ClassLabel, Features, Value

from hf_mtl.data.conversions.splits import order_key, save_splits
from hf_mtl.errors import DataError

__all__ = ["convert_movie_snippets"]

_ARCHIVE: Final = "hutto_ICWSM_2014.tar.gz"
_MEMBER: Final = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
_TEST_ROWS: Final = 2000
_FEATURES: Final = Features(
    {"text": Value("string"), "rating": Value("float32"), "label": ClassLabel(names=["negative", "positive"])}
)


def convert_movie_snippets(source: Path, folder: Path) -> None:
    """Read the ratings and save train and test.

    A rating of exactly 0 has no sign, so these rows are left out; of rows with one text the first is kept, so no
    text is in both splits.
    """
    ratings: dict[str, float] = {}
    for line in _lines(source / _ARCHIVE):
        _, rating, text = line.split("\t")
        ratings.setdefault(text.strip(), float(rating))
    rows = [
        {"text": text, "rating": ratings[text], "label": int(ratings[text] > 0)}
        for text in sorted(ratings, key=order_key)
        if ratings[text] != 0
    ]
    save_splits({"train": rows[_TEST_ROWS:], "test": rows[:_TEST_ROWS]}, _FEATURES, folder)


def _lines(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        file = opened.extractfile(_MEMBER)
        if file is None:
            raise DataError(f"{archive.name}: expected {_MEMBER!r} to be a plain file.")
        return file.read().decode("utf-8").splitlines()
