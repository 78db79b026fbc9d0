"""Data files and rows that cannot be used: JSON lines, JSON, CSV, CoNLL, plain text, Parquet, and folders of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from bad_inputs.case import Case, Change, all_of, cli, removed, replaced, written

__all__ = ["CASES"]

GOOD = '{"text": "good", "label": "positive"}\n{"text": "bad", "label": "negative"}\n'
KIND = 'template: {prompt: "{text} is", completion: " {label}"}\n    labels: [negative, positive]\n    metrics: [exact_match, accuracy]'


def rows(name: str, content: str | bytes, *words: str, verb: str = "validate recipe.yaml") -> Case:
    """The rows of `words` are others."""
    return cli(name, verb, *words, spoil=written("words.jsonl", content))


def file(name: str, new: str, content: str | bytes | None, *words: str, change: Change | None = None) -> Case:
    """The task `words` reads another file."""
    spoils = [
        replaced("train: words.jsonl", f"train: {new}"),
        *([] if content is None else [written(new, content)]),
    ]
    return cli(
        name, "validate recipe.yaml", *words, spoil=all_of(*spoils, *([] if change is None else [change]))
    )


def special(name: str, make: Callable[[Path], object], *words: str) -> Case:
    """The file of rows is something else than a file."""

    def change(folder: Path) -> None:
        (folder / "words.jsonl").unlink()
        make(folder / "words.jsonl")

    return cli(name, "validate recipe.yaml", *words, spoil=change)


def kind(
    name: str,
    kind: str,
    content: str,
    *words: str,
    columns: str = "",
    file: str = "words.jsonl",
    base: str = "bert",
) -> Case:
    """The task `words` is of another kind, on another base."""
    lines = f"kind: {kind}" + (f"\n    columns: {columns}" if columns else "")
    spoil = all_of(
        replaced(KIND, lines),
        _only_words,
        replaced("train: words.jsonl\n    eval: words.jsonl", f"train: {file}"),
        written(file, content),
    )
    return cli(name, "validate recipe.yaml", *words, spoil=all_of(_other_base(base), spoil))


def _other_base(base: str) -> Change:
    def change(folder: Path) -> None:
        text = (folder / "recipe.yaml").read_text()
        (folder / "recipe.yaml").write_text(text.replace("/base,", f"/{base},", 1))

    return change


def _only_words(folder: Path) -> None:
    """Leave the other task out."""
    text = (folder / "recipe.yaml").read_text()
    start, end = text.index("  past tense:"), text.index("training:")
    (folder / "recipe.yaml").write_text(text[:start] + text[end:])


def _link_to_itself(folder: Path) -> None:
    (folder / "words.jsonl").unlink()
    (folder / "words.jsonl").symlink_to("words.jsonl")


def _pipe(folder: Path) -> None:
    (folder / "words.jsonl").unlink()
    os.mkfifo(folder / "words.jsonl")


def _parquet(**columns: list[object]) -> Change:
    def change(folder: Path) -> None:
        import pyarrow  # type: ignore[import-untyped]
        import pyarrow.parquet  # type: ignore[import-untyped]

        pyarrow.parquet.write_table(pyarrow.table(columns), folder / "rows.parquet")

    return change


def _cut_parquet(folder: Path) -> None:
    _parquet(text=["a"] * 100, label=["positive"] * 100)(folder)
    (folder / "rows.parquet").write_bytes((folder / "rows.parquet").read_bytes()[:-20])


def _deep(levels: int) -> str:
    return '{"text": ' + "[" * levels + "]" * levels + ', "label": "positive"}\n'


LINES = (
    rows("empty file", "", "tasks.words", "words.jsonl", "holds no rows"),
    rows("only blank lines", "\n\n\n", "words.jsonl", "no rows"),
    rows("a line is cut", GOOD + '{"text": "fi', "words.jsonl", "line 3", "not valid JSON"),
    rows("a line is a list", GOOD + '["a", "b"]\n', "words.jsonl", "line 3"),
    rows("a line is a number", GOOD + "7\n", "words.jsonl", "line 3"),
    rows("single quotes", "{'text': 'a', 'label': 'positive'}\n", "words.jsonl", "line 1"),
    rows("a comma too much", '{"text": "a", "label": "positive",}\n', "words.jsonl", "line 1"),
    rows("a key for each row", "".join(f'{{"id {i}": "a"}}\n' for i in range(20_000)), "words.jsonl, line 10001", "10,000 columns"),
    file("a CSV file of 100,000 columns", "wide.csv", ",".join(f"c{i}" for i in range(100_000)) + "\n" + "1," * 99_999 + "1\n", "wide.csv, line 1", "10,000 columns"),
    special("a pipe", os.mkfifo, "words.jsonl", "pipe"),
    special("a link to itself", lambda path: path.symlink_to(path), "words.jsonl", "link"),
    special("a link to a device", lambda path: path.symlink_to("/dev/zero"), "words.jsonl", "device"),
    rows("NaN as a text", '{"text": NaN, "label": "positive"}\n', "words.jsonl"),
    rows("a key twice in a row", '{"text": "a", "text": "b", "label": "positive"}\n', "words.jsonl", "line 1", "text"),
    rows("a text is a number", GOOD + '{"text": 3, "label": "positive"}\n', "words", "text"),
    rows("a text is a mapping", GOOD + '{"text": {"en": "a"}, "label": "positive"}\n', "words", "text"),
    rows("a text is null", GOOD + '{"text": null, "label": "positive"}\n', "words", "text"),
    rows("a label is null", GOOD + '{"text": "a", "label": null}\n', "words", "label"),
    rows("a label is another", GOOD + '{"text": "a", "label": "postive"}\n', "words", "postive", "'positive'"),
    rows("a label is a number", '{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n', "words", "label", "'positive'"),
    rows("a label is a list", '{"text": "a", "label": ["positive"]}\n', "words", "label"),
    rows("a column is missing in one row", GOOD + '{"text": "a"}\n', "words", "label"),
    rows("a column is missing everywhere", '{"text": "a"}\n', "words", "label"),
    rows("ten thousand levels", _deep(10_000), "words.jsonl", "line 1", "deep"),
    rows("a number of 5000 digits", '{"text": "a", "label": ' + "1" * 5000 + "}\n", "words.jsonl"),
    rows("a number beyond 64 bits", '{"text": "a", "label": 123456789012345678901234567890}\n', "words"),
    rows("half a surrogate pair", '{"text": "a\\ud800", "label": "positive"}\n' + GOOD, "words"),
    rows("Latin-1", '{"text": "caf\u00e9", "label": "positive"}\n'.encode("latin-1"), "words.jsonl", "UTF-8"),
    rows("a NUL byte", '{"text": "a\0b", "label": "positive"}\n', "words.jsonl", "zero bytes"),
    rows("binary", bytes(range(256)) * 10, "words.jsonl"),
    rows("a web page", "<!DOCTYPE html>\n<html>404</html>\n", "words.jsonl", "line 1"),
    rows("a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "words.jsonl", "line 1"),
    rows("rows of another task", '{"lemma": "go", "past": "went"}\n', "words", "'text'", "'lemma'"),
    rows("two thousand columns", json.dumps({f"c{i}": i for i in range(2000)}) + "\n", "words", "'text'"),
    rows("a column's name moves the cursor", '{"\\u001b[2Jtext": "a", "label": "positive"}\n', "words", "text"),
    rows("a value moves the cursor", GOOD + '{"text": "a", "label": "\\u001b[31mred"}\n', "words", "label"),
    rows("a label turns the line around", GOOD + '{"text": "a", "label": "\\u202eevitisop"}\n', "words", "\\u202eevitisop"),
    rows("all texts are empty", '{"text": "", "label": ""}\n', "words"),
    cli("is a folder", "validate recipe.yaml", "words", "label", spoil=all_of(removed("words.jsonl"), written("words.jsonl/a.txt", "x"))),
    cli("is missing", "validate recipe.yaml", "words.jsonl", "'verbs.jsonl'", spoil=removed("words.jsonl")),
    cli("is a link to itself", "validate recipe.yaml", "words.jsonl", spoil=_link_to_itself),
    cli("is a pipe that nobody writes", "validate recipe.yaml", "words.jsonl", spoil=_pipe),
)  # fmt: skip

FILES = (
    file("an ending of an archive", "rows.jsonl.gz", b"\x1f\x8b", "rows.jsonl.gz", "unpack"),
    file("an ending of a sheet", "rows.xlsx", b"PK", "rows.xlsx", "CSV"),
    file("an ending that is unknown", "rows.data", "x", "rows.data", "'.jsonl'"),
    file("no ending", "rows", "x", "rows"),
    file("a pickle", "rows.pkl", b"\x80\x04N.", "rows.pkl", "Parquet"),
    file("JSON that is one row", "rows.json", '{"text": "a", "label": "positive"}', "rows.json"),
    file("JSON that is a text", "rows.json", '"a"', "rows.json"),
    file("JSON that is cut", "rows.json", '[{"text": "a"', "rows.json"),
    file("JSON with two lists of rows", "rows.json", '{"a": [{"text": "x"}], "b": [{"text": "y"}]}', "rows.json"),
    file("JSON of lists", "rows.json", "[[1, 2], [3, 4]]", "rows.json"),
    file("JSON of ten thousand levels", "rows.json", "[" * 10_000 + "]" * 10_000, "rows.json", "deep"),
    file("JSON lines called JSON", "rows.json", "{} x", "rows.json"),
    file("CSV with a short row", "rows.csv", "text,label\na,positive\nb\n", "rows.csv", "line 3"),
    file("CSV with a long row", "rows.csv", "text,label\na,positive\nb,negative,x\n", "rows.csv", "line 3"),
    file("CSV with an open quotation", "rows.csv", 'text,label\n"a,positive\nb,negative\n', "rows.csv", "line 2"),
    file("CSV with a column twice", "rows.csv", "text,text,label\na,b,positive\n", "rows.csv", "line 1", "twice"),
    file("CSV with a header alone", "rows.csv", "text,label\n", "rows.csv", "no rows"),
    file("CSV of binary", "rows.csv", bytes(range(256)), "rows.csv"),
    file("CSV with NUL bytes", "rows.csv", "text,label\na\0,positive\n", "rows.csv"),
    file("CSV without a header", "rows.csv", "a,positive\nb,negative\n", "words", "'text'"),
    file("TSV with commas", "rows.tsv", "text,label\na,positive\n,x,y\n", "rows.tsv"),
    file("not Parquet", "rows.parquet", "text,label\n", "rows.parquet"),
    file("Parquet that is cut", "rows.parquet", None, "rows.parquet", change=_cut_parquet),
    file("Parquet without rows", "rows.parquet", None, "rows.parquet", change=_parquet(text=[], label=[])),
    file("Parquet with other columns", "rows.parquet", None, "'sentence'", change=_parquet(sentence=["a"], label=["positive"])),
    file("not Arrow", "rows.arrow", "x" * 100, "rows.arrow"),
    file("plain text for a template", "rows.txt", "one line\nanother\n", "words", "'text'"),
    file("plain text of UTF-16 without a mark", "rows.txt", "ab\n".encode("utf-16-le") * 5, "words"),
    file("CoNLL with an uneven line", "rows.conll", "John B-PER\nlives\n", "rows.conll", "line 2"),
    file("CoNLL of blank lines", "rows.conll", "\n\n\n", "rows.conll"),
    file("CoNLL of binary", "rows.conll", bytes(range(256)), "rows.conll"),
    file("a folder that is no data set", "empty", None, "empty", change=written("empty/readme.md", "x")),
    file("a folder of a data set that lacks its state", "saved", None, "saved", change=written("saved/dataset_info.json", "{}")),
    file("a data set's info is no JSON", "saved", None, "saved", change=all_of(written("saved/dataset_info.json", "{"), written("saved/state.json", "{}"))),
    file("outside every folder", "../../../../../no/such.jsonl", None, "such.jsonl"),
    file("a name of 300 letters", "a" * 300 + ".jsonl", None, "aaa"),
    file("a NUL in the name", '"a\\0b.jsonl"', None, "words"),
    file("not a Hub id", "'a/b/c/d'", None, "words"),
    file("a device", "/dev/zero", None, "/dev/zero"),
)  # fmt: skip

KINDS = (
    kind("tags of another length", "token-classification", '{"tokens": ["a", "b"], "tags": ["O"]}\n', "words"),
    kind("tokens are one text", "token-classification", '{"tokens": "a b", "tags": ["O", "O"]}\n', "words"),
    kind("tags as numbers without names", "token-classification", '{"tokens": ["a"], "tags": [7]}\n', "words"),
    kind("no context", "{name: question-answering, doc_stride: 8}", '{"question": "a ?", "answers": {"text": ["x"], "answer_start": [0]}}\n', "words", "context"),
    kind("an answer that is not there", "{name: question-answering, doc_stride: 8}", '{"context": "the film", "question": "a ?", "answers": {"text": ["play"], "answer_start": [4]}}\n', "words", "play"),
    kind("an answer before the start", "{name: question-answering, doc_stride: 8}", '{"context": "the film", "question": "a ?", "answers": {"text": ["film"], "answer_start": [-4]}}\n', "words"),
    kind("an answer that starts at a half", "{name: question-answering, doc_stride: 8}", '{"context": "the film", "question": "a ?", "answers": {"text": ["film"], "answer_start": [4.5]}}\n', "words", "row 0", "answer_start"),
    kind("one answer without lists", "{name: question-answering, doc_stride: 8}", '{"context": "the film", "question": "a ?", "answers": {"text": "film", "answer_start": 4}}\n', "words", "row 0", "answer_start"),
    kind("an answer that is a number", "{name: question-answering, doc_stride: 8}", '{"context": "the film", "question": "a ?", "answers": {"text": [5], "answer_start": [4]}}\n', "words", "row 0", "answer_start"),
    kind("answers without starts", "{name: question-answering, doc_stride: 8}", '{"context": "the film", "question": "a ?", "answers": {"text": ["film"]}}\n', "words", "row 0", "answer_start"),
    kind("forty thousand tags", "token-classification", "".join(f"w B-T{i}\n" for i in range(40_000)) + "w\n", "t.conll, line 40001", file="t.conll"),
    kind("answers as texts", "{name: question-answering, doc_stride: 8}", '{"context": "the film", "question": "a ?", "answers": "film"}\n', "words", "answers"),
    kind("a rating is a text", "regression", '{"text": "good", "label": "high"}\n', "words", "high"),
    kind("a rating is infinite", "regression", '{"text": "good", "label": Infinity}\n', "words"),
    kind("one label only", "text-classification", '{"text": "good", "label": "positive"}\n', "words", "label"),
    kind("labels are fractions", "text-classification", '{"text": "good", "label": 0.5}\n{"text": "a", "label": 1.5}\n', "words"),
    kind("an image is a text", "image-classification", '{"image": "no such.png", "label": "a"}\n{"image": "b.png", "label": "b"}\n', "words", base="vit"),
    kind("texts for a base of images", "text-classification", GOOD, "words", base="vit"),
    kind("options are one text", "label-scoring", '{"prompt": "a", "options": "xy", "label": 0}\n', "words", base="base"),
    kind("the right option is beyond the last", "label-scoring", '{"prompt": "a", "options": ["x", "y"], "label": 2}\n', "words", base="base"),
)  # fmt: skip

CASES = (*LINES, *FILES, *KINDS)
