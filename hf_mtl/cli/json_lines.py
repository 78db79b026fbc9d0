"""JSON lines from a file or standard input, and to a file or standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from hf_mtl.errors import DataError
from hf_mtl.printable import json_line

__all__ = ["read_json_lines", "write_json_lines"]


def read_json_lines(source: str) -> list[Mapping[str, object]]:
    """Read one JSON object per line.

    Args:
        source: A file, or `-` for standard input.

    Raises:
        DataError: There is no such file, it has no rows, or a line is no JSON object; the line is named.
    """
    name = "stdin" if source == "-" else source
    rows = [_row(line, f"{name}, line {number}") for number, line in _lines(source) if line.strip()]
    if not rows:
        raise DataError(f"{name} holds no rows: expected one JSON object per line.")
    return rows


def _lines(source: str) -> Iterable[tuple[int, str]]:
    if source == "-":
        return enumerate(sys.stdin.read().split("\n"), start=1)
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{source} cannot be read: {error}") from error
    # Not splitlines(): a JSON text may hold U+2028 as it is.
    return enumerate(text.split("\n"), start=1)


def _row(line: str, where: str) -> Mapping[str, object]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not valid JSON ({error.msg}, column {error.colno}): {line:.80}") from error
    if not isinstance(row, dict):
        raise DataError(f'{where}: expected a JSON object such as {{"text": "..."}}, found {line:.80}')
    return row


def write_json_lines(rows: Iterable[Mapping[str, object]], target: Path | None) -> None:
    """Write the rows to a file, or to standard output."""
    text = "".join(json_line(row) + "\n" for row in rows)
    if target is None:
        sys.stdout.write(text)
    else:
        target.write_text(text, encoding="utf-8")
