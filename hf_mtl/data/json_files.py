"""JSON lines and JSON documents, checked row by row before Arrow reads them.

The Arrow reader names neither line nor cause, skips what it takes for blank, and turns texts that look like dates into
dates.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from hf_mtl.bounded_json import JsonLimitError, parse_json
from hf_mtl.data.decoding import UTF8, encoding_of, numbered_lines
from hf_mtl.data.file_formats import check_columns
from hf_mtl.errors import DataError, listing

__all__ = ["JsonRows", "json_document", "json_lines"]

_HALF = r"\ud"  # how the escape of a surrogate begins
Rows: TypeAlias = "list[dict[str, Any]]"  # Any: whatever JSON holds

_MAX_DOCUMENT = 256 * 1024 * 1024  # bytes; a document is read as a whole
_LINES = "A file with one object per line (.jsonl) is read line by line, and may be larger."

_SORTS: Mapping[type, str] = {
    str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object",
}  # fmt: skip


class JsonRows(NamedTuple):
    """What was found in a file.

    Args:
        texts: The columns that hold text.
        rows: The rows themselves; of a long file they are kept only if that is asked for, or nothing else reads it.
        readable: Whether the reader of `datasets` takes the file as it is.
        field: For that reader, the key of a document that the rows stand under; None if they are the document.
    """

    texts: frozenset[str]
    rows: Rows
    readable: bool
    field: str | None = None


def json_lines(path: Path, *, keep: bool = False) -> JsonRows:
    """Check a file with one JSON object per line.

    Args:
        path: The file.
        keep: Whether to return the rows too.

    Raises:
        DataError: At the first line that is no JSON object, or has text in a column that had something else before.
    """
    encoding, sorts = encoding_of(path), _Sorts(path)
    rows: Rows = []
    found = named = False
    for number, row in _objects(path, encoding):
        found, named = True, named or bool(row)
        sorts.add(row, f"line {number}")
        if keep or encoding != UTF8:
            rows.append(row)
    _check_filled(path, found=found, named=named)
    return JsonRows(sorts.texts, rows, encoding == UTF8)


def json_document(path: Path) -> JsonRows:
    """Check a JSON document: an array of objects, an object that holds one, columns by name, SQuAD, or JSON lines.

    Raises:
        DataError: If it is none of these; what it holds is said.
    """
    encoding = encoding_of(path)
    text = "".join(line for _, line in numbered_lines(path, encoding, longest=_MAX_DOCUMENT))
    if not text.strip():
        raise DataError(f"{path}: the file holds no rows.")
    try:
        content = parse_json(text, max_bytes=_MAX_DOCUMENT, unique=False)
    except JsonLimitError as error:
        raise DataError(f"{path}: {error}. {_LINES}") from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return json_lines(path)
        raise DataError(
            f"{path}, line {error.lineno}: not valid JSON ({error.msg} at column {error.colno})."
        ) from error
    except (RecursionError, ValueError) as error:
        raise DataError(f"{path}: {_unreadable(error)}.") from error
    field, rows = _rows_in(content, path)
    readable = encoding == UTF8 and (field is not None or isinstance(content, list))
    if rows and all("paragraphs" in row for row in rows):
        rows, readable = list(_squad(rows, path)), False
    _check_filled(path, found=bool(rows), named=any(rows))
    sorts, doubtful = _Sorts(path), _HALF in text.lower()
    for number, row in enumerate(rows):
        sorts.add(row, f"item {number}")
        if doubtful:
            _check_encodable(row, f"{path}, item {number}")
    return JsonRows(sorts.texts, rows, readable, field)


def _objects(path: Path, encoding: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in numbered_lines(path, encoding):
        if not line.strip():
            continue
        try:
            row = parse_json(line.strip())
        except JsonLimitError as error:
            raise DataError(f"{path}, line {number}: {error} in {line.strip()[:80]!r}.") from None
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}: not valid JSON ({error.msg} at column {error.colno}): "
                f"{line.strip()[:80]!r}. Each line must be one JSON object."
            ) from error
        except (RecursionError, ValueError) as error:
            raise DataError(f"{path}, line {number}: {_unreadable(error)}: {line.strip()[:80]!r}.") from error
        if not isinstance(row, dict):
            raise DataError(
                f'{path}, line {number}: expected one JSON object such as {{"text": "..."}}, '
                f"found {line.strip()[:80]!r}."
            )
        if _HALF in line.lower():
            _check_encodable(row, f"{path}, line {number}")
        yield number, row


def _check_filled(path: Path, *, found: bool, named: bool) -> None:
    if not found:
        raise DataError(f"{path}: the file holds no rows.")
    if not named:
        raise DataError(
            f'{path}: no row has a column; expected JSON objects such as {{"text": "..."}}, found empty ones.'
        )


def _unreadable(error: RecursionError | ValueError) -> str:
    """Why JSON whose form is right is not read."""
    if isinstance(error, RecursionError):
        return "lists and objects are nested too deep to be read; expected rows with a few levels"
    return f"a number has too many digits to be read ({error}); write it as text"


def _check_encodable(row: Mapping[str, object], where: str) -> None:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])[1:-1]
        raise DataError(
            f"{where}: {half} is half of a pair of surrogates, which is no character; an emoji is a pair such as "
            f"\\ud83d\\ude00. Such texts come from cutting a text inside of an emoji: cut elsewhere, or take it out."
        ) from error


def _rows_in(content: Any, path: Path) -> tuple[str | None, Rows]:  # Any: whatever JSON holds
    """The rows of a document and the key that they stand under."""
    if isinstance(content, list):
        for number, item in enumerate(content):
            if not isinstance(item, dict):
                raise DataError(
                    f'{path}, item {number}: expected an object such as {{"text": "..."}}, found {item!r:.80}.'
                )
        return None, content
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an array of objects, found {content!r:.80}.")
    tables = [key for key, value in content.items() if _is_table(value)]
    if len(tables) == 1:
        return tables[0], content[tables[0]]
    if len(tables) > 1:
        raise DataError(
            f"{path}: the document holds several lists of rows: {listing(tables)}. Write each into a file of its own."
        )
    lengths = {len(value) if isinstance(value, list) else -1 for value in content.values()}
    if len(lengths) == 1 and -1 not in lengths:
        return None, [dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)]
    raise DataError(
        f"{path}: expected an array of objects, or an object that holds one; found an object with the keys "
        f"{listing(list(content)[:10])}. One object per line is JSON lines (.jsonl)."
    )


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _squad(articles: Iterable[Mapping[str, Any]], path: Path) -> Iterator[dict[str, Any]]:
    """The questions of SQuAD's published files, with the columns that the same data have on the Hub."""
    for number, article in enumerate(articles):
        try:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    answers: Sequence[Mapping[str, Any]] = asked["answers"]
                    yield {
                        "id": asked["id"],
                        "question": asked["question"],
                        "context": paragraph["context"],
                        "answers": {
                            "text": [answer["text"] for answer in answers],
                            "answer_start": [answer["answer_start"] for answer in answers],
                        },
                    }
        except (KeyError, TypeError) as error:
            wrong = f"no {error}" if isinstance(error, KeyError) else "a part of another sort"
            raise DataError(
                f"{path}, article {number}: expected SQuAD's form (paragraphs, each with a context and qas of id, "
                f"question and answers), found {wrong}: {article!r:.100}."
            ) from error


class _Sorts:
    """Which sort of value each column holds; a column that changes it is refused where it does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: dict[str, tuple[str, str]] = {}

    def add(self, row: Mapping[str, object], where: str) -> None:
        for column, value in row.items():
            if value is None:
                continue
            sort = _SORTS[type(value)]
            known, first = self._first.setdefault(column, (sort, where))
            check_columns(self._path, len(self._first), where)
            if known != sort:
                raise DataError(
                    f"{self._path}, {where}: {column!r} is {sort} here ({value!r:.60}) and {known} in {first}; a "
                    f"column holds values of one sort."
                )

    @property
    def texts(self) -> frozenset[str]:
        return frozenset(column for column, (sort, _) in self._first.items() if sort == "text")
