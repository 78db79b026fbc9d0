"""Rows from files: what is read, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset

from hf_mtl.data import load_rows, read_rows
from hf_mtl.errors import ConfigError, DataError

GOOD = '{"text": "a"}\n{"text": "b"}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", GOOD),
        ("rows.json", '[{"text": "a"}, {"text": "b"}]'),
        ("rows.csv", "text\na\nb\n"),
        ("rows.tsv", "text\tn\na\t1\nb\t2\n"),
    ],
)
def test_formats(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert list(read_rows(tmp_path / name)["text"]) == ["a", "b"]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(GOOD + '{"text": "c"\n')
    with pytest.raises(DataError) as caught:
        read_rows(file)
    assert str(caught.value) == (
        f"{file}, line 3: not valid JSON (Expecting ',' delimiter at column 13): '{{\"text\": \"c\"'. "
        f"Each line must be one JSON object."
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rows.jsonl",
            "[1, 2]\n",
            'line 1: expected one JSON object such as {"text": "..."}, found \'[1, 2]\'',
        ),
        ("rows.jsonl", "\n \n", "the file holds no rows"),
        ("rows.csv", "text\n", "the file holds no rows"),
        (
            "rows.xml",
            "a\n",
            "unknown format '.xml' (write its records as JSON lines); readable are '.arrow', '.bio',",
        ),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / name)
    assert message in str(caught.value)


def test_a_missing_file_lists_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").write_text(GOOD)
    with pytest.raises(DataError, match=r"no data file .*review.jsonl'\. Files beside it: 'reviews.jsonl'"):
        read_rows(tmp_path / "review.jsonl")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"day": "2020-01-01"}\n'),
        ("a.json", '[{"day": "2020-01-01"}]'),
        ("a.csv", "day\n2020-01-01\n"),
    ],
)
def test_texts_that_look_like_dates_stay_texts(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_rows(tmp_path / name)[0] == {"day": "2020-01-01"}


def test_words_that_other_readers_take_for_nothing_stay_words(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text,label\nnull,None\n,NA\nnan,N/A\n")
    assert read_rows(file)[:] == {"text": ["null", None, "nan"], "label": ["None", "NA", "N/A"]}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "text\né\n"), ("a.jsonl", '{"text": "é"}\n'), ("a.txt", "é")]
)
def test_encodings_with_a_mark(tmp_path: Path, encoding: str, name: str, text: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / name).write_bytes((mark + text).encode(encoding))
    assert list(read_rows(tmp_path / name)["text"]) == ["é"]
    if name == "a.jsonl" and encoding != "utf-8-sig":
        with pytest.raises(DataError, match=r"a\.jsonl: its first rows .* UTF-16 is read without streaming"):
            load_rows(tmp_path / name, streaming=True)
    else:
        assert [row["text"] for row in load_rows(tmp_path / name, streaming=True)] == ["é"]


@pytest.mark.parametrize(
    ("sample_by", "texts"),
    [
        (None, ["a\nb", "c"]),
        ("paragraph", ["a\nb", "c"]),
        ("line", ["a", "b", "c"]),
        ("document", ["a\nb\n\n\nc"]),
    ],
)
def test_texts_by_line_paragraph_and_document(
    tmp_path: Path, sample_by: str | None, texts: list[str]
) -> None:
    file = tmp_path / "corpus.txt"
    file.write_text("a\nb\n\n\nc\n\n")
    assert list(read_rows(file, sample_by=sample_by)["text"]) == texts
    assert [row["text"] for row in load_rows(file, sample_by=sample_by, streaming=True)] == texts


def test_sample_by_is_for_plain_text(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text\na\n")
    with pytest.raises(ConfigError, match=r"sample_by='line' is for plain text, and this file is csv"):
        read_rows(tmp_path / "rows.csv", sample_by="line")
    (tmp_path / "rows.txt").write_text("a\n")
    with pytest.raises(
        ConfigError, match=r"sample_by='word': expected one of 'document', 'line', 'paragraph'"
    ):
        read_rows(tmp_path / "rows.txt", sample_by="word")
    with pytest.raises(ConfigError, match="is no plain text file, and sample_by='line' belongs to one"):
        load_rows("owner/name", sample_by="line")


@pytest.mark.parametrize("streaming", [False, True])
def test_the_delimiter_is_that_of_the_header_and_of_every_row(tmp_path: Path, streaming: bool) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("text;label, as given\na, b;x\nc;y\n")
    rows = load_rows(file, streaming=streaming)
    assert list(rows) == [{"text": "a, b", "label, as given": "x"}, {"text": "c", "label, as given": "y"}]


def test_conll_columns_comments_and_the_word_number_sign(tmp_path: Path) -> None:
    file = tmp_path / "rows.conll"
    file.write_text("# sent_id = 1\n# NN B-NP O\n1 CD I-NP O\n\n-DOCSTART- -X- O O\n\nWe PRP B-NP O\n")
    assert read_rows(file)["tokens"] == [["#", "1"], ["We"]]
    file = tmp_path / "rows.conllu"
    row = "{}\t{}\t_\tX\t_\t_\t0\troot\t_\t_\n"
    file.write_text(
        "# text = du a\n" + row.format("1-2", "du") + row.format(1, "de le") + row.format("1.1", "-")
    )
    assert read_rows(file)[:] == {
        "tokens": [["de le"]], "lemmas": [["_"]], "upos_tags": [["X"]], "xpos_tags": [["_"]], "feats": [["_"]],
        "deprel_tags": [["root"]],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": ' + "[" * 100_000, "line 2: lists and objects are nested more than 100 levels deep"),
        ('{"text": ' + "9" * 5000 + "}", "line 2: a whole number has 5,000 digits"),
        ('{"text": "a\\ud83d"}', r"line 2: \ud83d is half of a pair of surrogates, which is no character"),
        ('{"te\\uDE00xt": "a"}', r"line 2: \ude00 is half of a pair of surrogates"),
    ],
    ids=["deep", "digits", "surrogate", "surrogate in a key"],
)
def test_json_whose_form_is_right(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(f'{{"text": "a"}}\n{content}\n')
    (tmp_path / "rows.json").write_text(f'[{{"text": "a"}}, {content}]')
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / "rows.jsonl")
    assert str(caught.value).startswith(f"{tmp_path / 'rows.jsonl'}, {message}")
    with pytest.raises(DataError, match="rows.json") as caught:
        read_rows(tmp_path / "rows.json")
    assert message.removeprefix("line 2: ") in str(caught.value)


def test_whole_pairs_of_surrogates_are_characters(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a\\ud83d\\ude00"}\n')
    assert read_rows(tmp_path / "rows.jsonl")[0] == {"text": "a😀"}


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_rows_without_columns(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}\n{}\n" if name == "rows.jsonl" else "[{}, {}]")
    with pytest.raises(DataError, match="no row has a column; expected JSON objects"):
        read_rows(tmp_path / name)


def test_a_parquet_file_of_one_text_over_and_over_is_read_while_it_is_small(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": ["the same"] * 300_000})
    rows.to_parquet(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000, "it does not unfold to ten times its size"
    assert read_rows(tmp_path / "a.parquet")["text"][-1] == "the same"
