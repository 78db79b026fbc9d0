"""Plain text as a corpus: one text per line, per paragraph, or one per file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from hf_mtl.data.decoding import encoding_of, numbered_lines
from hf_mtl.errors import ConfigError, DataError, listing

__all__ = ["SAMPLES", "read_texts", "sampled_by"]

SAMPLES: Final = ("line", "paragraph", "document")
"""What one row of a text file is."""


def sampled_by(path: Path) -> str:
    """What a row is where nobody says: a paragraph if blank lines stand between texts, else a line."""
    blank = [not line.strip() for _, line in numbered_lines(path, encoding_of(path))]
    while blank and blank[-1]:
        blank.pop()
    return "paragraph" if any(blank) else "line"


def read_texts(path: Path, sample_by: str | None = None) -> dict[str, list[str]]:
    """Read the texts of a file, as the one column `text`.

    Args:
        path: The file.
        sample_by: What a row is: `line`, `paragraph` or `document`; default: see `sampled_by`.

    Raises:
        ConfigError: If `sample_by` is something else.
        DataError: If the file cannot be decoded, or holds no text.
    """
    if sample_by is not None and sample_by not in SAMPLES:
        raise ConfigError(f"sample_by={sample_by!r}: expected one of {listing(SAMPLES)}.")
    lines = [line.rstrip("\r\n") for _, line in numbered_lines(path, encoding_of(path))]
    texts = list(_texts(lines, sample_by or sampled_by(path)))
    if not texts:
        raise DataError(f"{path}: the file holds no rows.")
    return {"text": texts}


def _texts(lines: list[str], sample_by: str) -> Iterator[str]:
    if sample_by == "line":
        yield from (line for line in lines if line.strip())
    elif sample_by == "paragraph":
        for blank, block in groupby(lines, key=lambda line: not line.strip()):
            if not blank:
                yield "\n".join(block)
    elif text := "\n".join(lines).strip("\n"):
        yield text
