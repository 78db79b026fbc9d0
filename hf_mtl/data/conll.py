r"""CoNLL and BIO files: a word per line with its tags in columns, a blank line between sentences.

The columns of CoNLL-2003 and of CoNLL-U have the names that the same data have on the Hub. Of other files the first
column is `tokens`, the last one `tags`, and those between are `column_2`, `column_3` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from hf_mtl.data.decoding import encoding_of, numbered_lines
from hf_mtl.errors import DataError

__all__ = ["looks_like_conll", "read_conll"]

_DOCUMENT: Final = "-DOCSTART-"
_NAMES: Final = {
    2: ("tokens", "tags"),
    4: ("tokens", "pos_tags", "chunk_tags", "ner_tags"),
    10: ("", "tokens", "lemmas", "upos_tags", "xpos_tags", "feats", "", "deprel_tags", "", ""),
}
_CONLLU: Final = 10
_WORD_ID: Final = re.compile(r"\d+")
_TAG: Final = re.compile(r"O|[BIELSMU]-\S+")
_COMMENT: Final = re.compile(r"#(\s|$)")
_SETTING: Final = re.compile(r"#\s*\S+\s*=")
_FEW: Final = 1000


class _Line(NamedTuple):
    number: int
    fields: list[str]


def looks_like_conll(path: Path) -> bool:
    """Whether a text file is one of tagged words: columns everywhere, the last one of tags such as `B-PER` and `O`."""
    lines = []
    for number, line in numbered_lines(path, encoding_of(path)):
        if number > _FEW:
            break
        if line.strip() and not line.startswith(_DOCUMENT) and not _COMMENT.match(line):
            lines.append(line.split())
    return bool(lines) and all(len(fields) > 1 and _TAG.fullmatch(fields[-1]) for fields in lines)


def read_conll(path: Path) -> dict[str, list[list[str]]]:
    """Read the sentences of a file by column; lines of `-DOCSTART-` and comments are left out.

    Raises:
        DataError: At a line that has more or fewer columns than the first one, or if there is no sentence.
    """
    sentences = list(_sentences(path))
    if not sentences:
        raise DataError(f"{path}: the file holds no rows.")
    width = len(sentences[0][0].fields)
    if width == 1:
        line = sentences[0][0]
        raise DataError(
            f"{path}, line {line.number}: expected a word and its tag separated by a tab or blanks, found "
            f"{line.fields[0]!r}."
        )
    names = _NAMES.get(width) or ("tokens", *(f"column_{i}" for i in range(2, width)), "tags")
    columns: dict[str, list[list[str]]] = {name: [] for name in names if name}
    for sentence in sentences:
        words = _checked(path, sentence, width)
        for place, name in enumerate(names):
            if name:
                columns[name].append([fields[place] for fields in words])
    return columns


def _checked(path: Path, sentence: Sequence[_Line], width: int) -> list[list[str]]:
    for line in sentence:
        if len(line.fields) != width:
            raise DataError(
                f"{path}, line {line.number}: found {len(line.fields)} columns, and {width} before; every word has the "
                f"same columns, and a blank line ends a sentence: {' '.join(line.fields)[:80]!r}."
            )
    words = [line.fields for line in sentence]
    # Contractions (1-2) and empty nodes (1.1) of CoNLL-U are no words of the sentence.
    return [fields for fields in words if width != _CONLLU or _WORD_ID.fullmatch(fields[0])]


def _sentences(path: Path) -> Iterator[list[_Line]]:
    lines = list(numbered_lines(path, encoding_of(path)))
    # A first line that is no comment says how columns are separated, and how many there are.
    sample = next((line for _, line in lines if _is_word(line) and not _COMMENT.match(line)), "")
    separator = "\t" if "\t" in sample else None  # with tabs, a column may hold blanks
    width = len(sample.split(separator))
    sentence: list[_Line] = []
    for number, line in lines:
        fields = line.rstrip("\r\n").split(separator)
        if not _is_word(line):
            if sentence:
                yield sentence
            sentence = []
        elif sentence or not _is_comment(line, len(fields), width):
            sentence.append(_Line(number, fields))
    if sentence:
        yield sentence


def _is_word(line: str) -> bool:
    return bool(line.strip()) and not line.startswith(_DOCUMENT)


def _is_comment(line: str, found: int, width: int) -> bool:
    """Whether a line before a sentence's first word is a comment, and not the word `#` with its tags."""
    return bool(_COMMENT.match(line)) and (bool(_SETTING.match(line)) or found != width)
