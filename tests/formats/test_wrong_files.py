"""Files that cannot be learned from as they are: each is refused with the file, the place and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from format_files import REVIEWS, SQUAD, TEXTS, Content, assistant, jsonl, user
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.data.decoding import encoding_of, numbered_lines
from hf_mtl.errors import DataError

Bases = Callable[[str], Path]

READABLE = "text,label\ngood,x\nbad,y\n"


@dataclass(frozen=True)
class Wrong:
    """Files that `init` refuses, and a part of what it says."""

    files: Mapping[str, Content]
    message: str
    base: str = "llama"


WRONG = {
    "no such file": Wrong({}, "there is no file or folder '"),
    "empty": Wrong({"a.csv": ""}, "a.csv: the file holds no rows."),
    "a header and no rows": Wrong({"a.csv": "text,label\n"}, "a.csv: the file holds no rows."),
    "an empty text": Wrong({"a.txt": " \n\n"}, "a.txt: the file holds no rows."),
    "a spreadsheet": Wrong({"a.xlsx": b"PK\x03\x04"}, "a.xlsx: unknown format '.xlsx' (save the sheet as CSV)"),
    "an archive": Wrong({"a.jsonl.gz": b"\x1f\x8b\x08"}, "unknown format '.gz' (unpack it first)"),
    "an archive under another name": Wrong(
        {"a.jsonl": b"\x1f\x8b\x08\x00"}, "a.jsonl: expected text, found a gzip archive; unpack it first."
    ),
    "Parquet under another name": Wrong({"a.csv": b"PAR1\x15\x04"}, "found a Parquet file; rename it to .parquet."),
    "no Parquet": Wrong({"a.parquet": b"nonsense" * 9}, "a.parquet: cannot be read as parquet:"),
    "no Arrow": Wrong({"a.arrow": b"nonsense" * 9}, "a.arrow: cannot be read as arrow:"),
    "Windows-1252": Wrong(
        {"a.csv": "text,label\ngood,x\nb\xe9,y\n".encode("latin-1")},
        "a.csv, line 3: byte 0xe9 is not UTF-8; the file may be Windows-1252 (Latin-1), which cannot be known; "
        "convert it: iconv -f WINDOWS-1252 -t UTF-8 a.csv > a.utf8.csv",
    ),
    "UTF-16 without a mark": Wrong({"a.csv": READABLE.encode("utf-16-le")}, "no byte order mark: it may be UTF-16"),
    "UTF-32": Wrong({"a.csv": READABLE.encode("utf-32")}, "the file is UTF-32; convert it: iconv -f UTF-32"),
    "a short row": Wrong(
        {"a.csv": "text,label\ngood,x\nbad\n"},
        "a.csv, line 3: the row has 1 fields separated by commas, the header has 2 ('text', 'label')",
    ),
    "a long row": Wrong(
        {"a.csv": "text,label\ngood, great,x\n"},
        "a.csv, line 2: the row has 3 fields separated by commas, the header has 2",
    ),
    "a long row between semicolons": Wrong(
        {"a.csv": "text;label\ngood;great;x\n"}, "line 2: the row has 3 fields separated by semicolons"
    ),
    "an open quotation": Wrong(
        {"a.csv": 'text,label\ngood,x\n"bad,y\nfine,x\n'}, "a.csv, line 3: a quotation that begins here is not closed"
    ),
    "a column twice": Wrong({"a.csv": "text,text\na,b\n"}, "line 1: the column 'text' is there twice"),
    "a broken line": Wrong({"a.jsonl": jsonl(*REVIEWS) + '{"text": "x"\n'}, "a.jsonl, line 5: not valid JSON ("),
    "a line that is no object": Wrong({"a.jsonl": '["a"]\n'}, 'line 1: expected one JSON object such as {"text"'),
    "a column of two sorts": Wrong(
        {"a.jsonl": jsonl({"text": "a", "label": 1}, {"text": "b", "label": "x"})},
        "a.jsonl, line 2: 'label' is text here ('x') and a number in line 1; a column holds values of one sort.",
    ),
    "a broken document": Wrong({"a.json": '[{"text": "a"},\n{"text": "b"]'}, "a.json, line 2: not valid JSON"),
    "a document of words": Wrong({"a.json": '["a", "b"]'}, "a.json, item 0: expected an object such as"),
    "a document without rows": Wrong(
        {"a.json": '{"name": "x", "size": 3}'}, "found an object with the keys 'name', 'size'"
    ),
    "a document of two tables": Wrong(
        {"a.json": json.dumps({"train": REVIEWS, "test": REVIEWS})},
        "the document holds several lists of rows: 'test', 'train'. Write each into a file of its own.",
    ),
    "SQuAD with a part missing": Wrong(
        {"a.json": json.dumps({"data": [{"paragraphs": [{"qas": [{"id": "1"}]}]}]})},
        "a.json, article 0: expected SQuAD's form",
    ),
    "uneven columns of tags": Wrong(
        {"a.conll": "John\tB-PER\nlives\n\nParis\tB-LOC\n"}, "a.conll, line 2: found 1 columns, and 2 before"
    ),
    "words without tags": Wrong(
        {"a.bio": "John\nlives\n"}, "a.bio, line 1: expected a word and its tag separated by a tab or blanks"
    ),
    "unknown columns": Wrong(
        {"a.csv": "v1,v2\nham,hello\n"},
        "the format of the rows is not recognised: their columns are 'v1' (text), 'v2' (text). Say how they are to be",
    ),
    "no header": Wrong({"a.csv": "a bad play,negative\ngood,positive\n"}, "their columns are 'a bad play' (text), 'ne"),
    "classes or a measure": Wrong(
        {"a.csv": "review,rating\ngood,5\nbad,1\n"},
        "the rows can be read in 2 ways: text-classification from review + rating (kind: text-classification with "
        "columns: {text: review, label: rating}); or regression from review + rating (kind: regression",
    ),
    "two labels": Wrong(
        {"a.csv": "text,topic,sentiment\ngood,a,x\nbad,b,y\n"},
        "the rows can be read in 2 ways: text-classification from text + sentiment",
    ),
    "two columns of tags": Wrong(
        {"a.jsonl": jsonl({"tokens": ["a"], "pos_tags": ["N"], "chunk_tags": ["O"]})},
        "the rows can be read in 2 ways: token-classification from tokens + pos_tags",
    ),
    "two conversations": Wrong(
        {"a.jsonl": jsonl({"old": [user("a"), assistant("b")], "new": [user("a"), assistant("c")]})},
        "the rows can be read in 2 ways: causal-lm from messages in 'old' (template: {messages: old})",
    ),
    "three languages": Wrong(
        {"a.jsonl": jsonl({"translation": {"en": "a", "fr": "b", "de": "c"}})}, "the rows can be read in 6 ways:"
    ),
    "preferences": Wrong(
        {"a.jsonl": jsonl({"prompt": "a", "chosen": "b", "rejected": "c"})},
        "the rows are preferences (chosen, rejected), which are not what a task learns from.",
    ),
    "judged answers": Wrong(
        {"a.jsonl": jsonl({"prompt": "a", "completion": "b", "label": True})},
        "the rows are judged answers (prompt, completion, and a label that is true or false)",
    ),
    "labels that are no closed set": Wrong(
        {"a.jsonl": jsonl(*({"text": f"t {i}", "label": f"l {i}"} for i in range(40)))},
        "labels: the column 'label' holds 40 different texts in 40 rows, which are no closed set of labels",
    ),
    "one label": Wrong(
        {"a.jsonl": jsonl(*({"text": text, "label": "x"} for text in TEXTS))},
        "labels must be two or more different names, found ['x']",
    ),
    "two files for one split": Wrong(
        {"a.train.csv": READABLE, "a.train.tsv": "text\tlabel\na\tx\n"}, "the task 'a' has two files for train:"
    ),
    "a test without train": Wrong({"a.test.csv": READABLE}, "the task 'a' has no rows to learn from, only '"),
    "an answer that is not in its context": Wrong(
        {"a.jsonl": jsonl({**SQUAD[0], "answers": {"text": ["Mary"], "answer_start": [0]}})},
        "a.jsonl: the answer 'Mary' is not in its context at character 0",
    ),
    "a label that train does not have": Wrong(
        {"a.train.csv": READABLE, "a.test.csv": "text,label\ngreat,z\n"},
        "task 'a', test, row 0 of ",
    ),
    "conversations for a tokenizer without a chat template": Wrong(
        {"a.jsonl": jsonl({"messages": [user("a"), assistant("b")]})}, "no chat template"
    ),
    "texts to write for an encoder": Wrong(
        {"a.jsonl": jsonl({"prompt": "a", "completion": "b"})}, "causal-lm needs a base that writes text", "bert"
    ),
    "texts for a base that reads images": Wrong(
        {"a.jsonl": jsonl(*REVIEWS)}, "reads text, and the base, a vit model, reads images", "vit"
    ),
}  # fmt: skip


def _write(folder: Path, files: Mapping[str, Content]) -> list[Path]:
    for name, content in files.items():
        assert not callable(content)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return [folder / name for name in files] or [folder / "nothing.csv"]


def _init(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["init", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stderr


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused(name: str, bases: Bases, tmp_path: Path) -> None:
    wrong = WRONG[name]
    recipe = tmp_path / "recipe.yaml"
    code, said = _init(*_write(tmp_path, wrong.files), "--base", bases(wrong.base), "--output", recipe)
    assert code == 2
    assert wrong.message in said
    assert not recipe.exists()


def test_all_wrong_files_are_told_at_once(bases: Bases, tmp_path: Path) -> None:
    files = _write(tmp_path, {"a.csv": "text\n", "b.csv": "v1,v2\na,b\n", "c.csv": READABLE})
    code, said = _init(*files, "--base", bases("llama"), "--output", tmp_path / "recipe.yaml")
    assert code == 2
    assert (
        "2 problems:" in said and "a.csv: the file holds no rows" in said and "b.csv: the format of" in said
    )


def test_nothing_is_written_over(bases: Bases, tmp_path: Path) -> None:
    (file,) = _write(tmp_path, {"a.csv": READABLE})
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("mine")
    code, said = _init(file, "--base", bases("llama"), "--output", recipe)
    assert (code, recipe.read_text()) == (2, "mine")
    assert "recipe.yaml exists; give another --output, or --force to write over it." in said
    assert _init(file, "--base", bases("llama"), "--output", recipe, "--force")[0] == 0
    assert "kind: text-classification" in recipe.read_text()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_what_the_system_refuses(encoding: str, tmp_path: Path) -> None:
    """Here: to read from a folder, which no permission of the superuser helps against."""
    for read in (lambda: encoding_of(tmp_path), lambda: next(numbered_lines(tmp_path, encoding))):
        with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path))} cannot be read: Is a directory"):
            read()
