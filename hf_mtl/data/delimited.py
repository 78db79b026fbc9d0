"""CSV and TSV: which delimiter a file has, and whether every row has as many fields as the header.

The reader behind `datasets` fills short rows with nothing and takes the first column of long ones for an index; here
both are refused, by their line.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from hf_mtl.data.decoding import MAX_LINE, encoding_of, numbered_lines
from hf_mtl.data.file_formats import check_columns
from hf_mtl.errors import DataError

__all__ = ["delimited_options"]

_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_FIRST: Final = {".tsv": "\t"}


class _Tried(NamedTuple):
    """A file read with one delimiter: the fields of its header, and the first line that does not fit."""

    delimiter: str
    quoting: int
    header: list[str]
    wrong: str | None


def delimited_options(path: Path) -> dict[str, object]:
    """Return what the CSV reader of `datasets` has to know about a file.

    Raises:
        DataError: If a row has more or fewer fields than the header, a quotation is not closed, or a column is there
            twice; the line is named.
    """
    encoding = encoding_of(path)
    first = _FIRST.get(path.suffix.lower(), ",")
    tried = _tried(path, encoding, (first, *(other for other in _NAMES if other != first)))
    found = next((each for each in tried if each.wrong is None), tried[0])
    if found.wrong is not None:
        raise DataError(f"{path}, {found.wrong}")
    check_columns(path, len(found.header), "line 1")
    twice = [name for name, count in Counter(found.header).items() if count > 1]
    if twice:
        raise DataError(f"{path}, line 1: the column {twice[0]!r} is there twice; rename one of them.")
    return {
        "sep": found.delimiter,
        "quoting": found.quoting,
        "encoding": encoding,
        # Words such as "None" and "NA" are words, and often labels.
        "keep_default_na": False,
        "na_values": [""],
    }


def _tried(path: Path, encoding: str, delimiters: tuple[str, ...]) -> list[_Tried]:
    """The file read with each delimiter that its header has, in order; with the first one if it has none."""
    header = next(numbered_lines(path, encoding), (1, ""))[1]
    present = [delimiter for delimiter in delimiters if delimiter in header] or [delimiters[0]]
    tried = []
    for delimiter in present:
        tried.append(_try(path, encoding, delimiter, csv.QUOTE_MINIMAL))
        if tried[-1].wrong is not None and delimiter == "\t":
            # Many TSV files have no quotation at all: a quotation mark is then part of the text.
            tried.append(_try(path, encoding, delimiter, csv.QUOTE_NONE))
        if tried[-1].wrong is None:
            break
    return tried


def _try(path: Path, encoding: str, delimiter: str, quoting: int) -> _Tried:
    header: list[str] = []
    with _long_fields():
        lines = (line for _, line in numbered_lines(path, encoding))
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)  # type: ignore[arg-type]  # one of csv's constants
        start = 1
        try:
            for fields in reader:
                if not header:
                    header = fields
                elif fields and len(fields) != len(header):
                    return _Tried(delimiter, quoting, header, _uneven(start, len(fields), header, delimiter))
                start = reader.line_num + 1
        except csv.Error as error:
            text = (
                f"line {start}: a quotation that begins here is not closed, or goes on behind its end ({error}); write "
                f'a quotation mark inside a quoted text twice (""), and put such texts between quotation marks.'
            )
            return _Tried(delimiter, quoting, header, text)
    return _Tried(delimiter, quoting, header, None)


def _uneven(line: int, fields: int, header: list[str], delimiter: str) -> str:
    names = _NAMES[delimiter]
    return (
        f"line {line}: the row has {fields} fields separated by {names}, the header has {len(header)} "
        f"({', '.join(map(repr, header[:10]))}); put texts that hold {names} between quotation marks."
    )


@contextmanager
def _long_fields() -> Iterator[None]:
    """Allow fields of the length of a line; the limit is a setting of the whole process."""
    before = csv.field_size_limit(MAX_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)
