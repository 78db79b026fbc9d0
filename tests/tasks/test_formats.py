"""Formats of rows: which way of reading them is recognised, what is said, and how a task overrides it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, IterableDataset, Sequence, Translation, Value

from hf_mtl.data import Chat, PromptCompletion
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.tasks import Declared, Task, found_labels, recognise
from hf_mtl.tasks.kinds.labels import label_number

TEXTS = ["a", "b", "c", "d"]
TAGS = Features(
    {
        "words": Sequence(Value("string")),
        "ner": Sequence(ClassLabel(names=["O", "B-PER"])),
        "id": Value("int64"),
    }
)
LANGUAGES = Features({"translation": Translation(languages=["de", "en"])})


def rows(**columns: list[Any]) -> Dataset:
    return Dataset.from_dict(columns)


@pytest.mark.parametrize(
    ("table", "kind", "columns"),
    [
        (rows(Text=TEXTS, Label=[0, 1, 0, 1]), "text-classification", {"text": "Text", "label": "Label"}),
        (
            rows(title=TEXTS, description=TEXTS, **{"Class Index": [1, 2, 1, 2]}),
            "text-classification",
            {"text": "description", "label": "Class Index"},
        ),
        (
            rows(sentence1=TEXTS, sentence2=TEXTS, label=[0.5, 1.0, 2.0, 3.0]),
            "regression",
            {"text": "sentence1", "text_pair": "sentence2", "label": "label"},
        ),
        # A label is one whatever other figures there are.
        (
            rows(text=TEXTS, label=["x", "y", "x", "y"], stars=[1, 2, 3, 4]),
            "text-classification",
            {"text": "text", "label": "label"},
        ),
        (
            Dataset.from_dict({"words": [["a"]], "ner": [[1]], "id": [7]}, features=TAGS),
            "token-classification",
            {"tokens": "words", "tags": "ner"},
        ),
    ],
)  # fmt: skip
def test_kinds_with_heads(table: Dataset, kind: str, columns: dict[str, str]) -> None:
    reading = recognise(table).reading
    assert (reading.kind, reading.columns) == (kind, columns)
    assert Task("t", train=table).own_kind.name == kind


@pytest.mark.parametrize(
    ("table", "template"),
    [
        (rows(prompt=TEXTS, completion=TEXTS), PromptCompletion("{prompt}", "{completion}")),
        (rows(dialogue=TEXTS, summary=TEXTS, id=TEXTS), PromptCompletion("{dialogue}\n\nSummary:", " {summary}")),
        (
            rows(question=TEXTS, context=TEXTS, answer=TEXTS),
            PromptCompletion("{context}\n\nQuestion: {question}\nAnswer:", " {answer}"),
        ),
        (
            Dataset.from_dict({"translation": [{"de": "a", "en": "b"}]}, features=LANGUAGES),
            PromptCompletion(
                "Translate de to en: {{ translation['de'] }}\nTranslation:", " {{ translation['en'] }}", "jinja"
            ),
        ),
        (rows(chat=[[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]]), Chat("chat")),
        (rows(text=TEXTS, url=TEXTS), PromptCompletion("", "{text}")),
    ],
)  # fmt: skip
def test_language_models(table: Dataset, template: PromptCompletion | Chat) -> None:
    task = Task("t", train=table)
    assert (task.own_kind.name, task.template) == ("causal-lm", template)
    assert task.recognised is not None and task.recognised.startswith("causal-lm from ")
    assert recognise(table, encoder_decoder=True).reading.kind == "seq2seq-lm"


def test_what_is_recognised_is_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hf_mtl"):
        Task("news", train=rows(text=TEXTS, label=["x", "y", "y", None], extra=TEXTS))
    (record,) = caplog.records
    assert record.getMessage() == (
        "news: text-classification from text + label, 2 labels: x, y (not used: extra)"
    )


def test_what_the_task_says_stays(caplog: pytest.LogCaptureFixture) -> None:
    table = rows(text=TEXTS, label=["x", "y", "x", "y"], topic=["u", "v", "u", "v"])
    with caplog.at_level(logging.INFO, "hf_mtl"):
        written = Task("t", train=table, template=PromptCompletion("{text}", " {label}"))
        listed = Task("t", train=table, kind="text-classification", labels=["y", "x", "z"])
    assert written.own_kind.name == "causal-lm" and written.recognised is None
    assert listed.declared.labels == ("y", "x", "z")
    assert not caplog.records
    other = Task("t", train=table, columns={"label": "topic"})
    assert (other.columns["label"], other.declared.labels) == ("topic", ("u", "v"))
    assert Task("t", train=table, kind="causal-lm", template=lambda row: row).recognised is None
    rated = rows(review=TEXTS, rating=[1, 2, 3, 4])
    assert Task("t", train=rated, kind="regression").columns == {"text": "review", "label": "rating"}
    options = {"name": "text-classification", "label_smoothing": 0.1}
    smoothed = Task("t", train=rated, kind=options)
    assert vars(smoothed.own_kind)["label_smoothing"] == 0.1 and smoothed.declared.labels == (
        "1",
        "2",
        "3",
        "4",
    )


def test_a_stream_is_recognised_from_its_first_rows() -> None:
    def made() -> Any:  # Any: an iterator of rows
        yield from ({"sentence": text, "label": 0.5} for text in TEXTS)

    task = Task("t", train=IterableDataset.from_generator(made), max_steps=1)
    assert (task.own_kind.name, task.columns) == ("regression", {"text": "sentence", "label": "label"})


def test_labels_of_a_declared_kind_are_found() -> None:
    table = rows(text=TEXTS, label=["b", "a", None, "b"])
    task = Task("t", train=table, eval=rows(text=["a"], label=["c"]), kind="text-classification")
    assert task.declared.labels == ("a", "b")
    assert task.recognised is None


@pytest.mark.parametrize(
    ("values", "multi", "expected"),
    [
        (["b", "a", None], False, ("a", "b")),
        ([0, 1, 2], False, 3),
        ([1, 5, -100], False, ("1", "5")),
        ([-1, 0, 1], False, ("-1", "0", "1")),
        ([True, False], False, ("false", "true")),
        ([["b"], [], ["a", "b"]], True, ("a", "b")),
        ([[0], [1, 2]], True, 3),
        ([[0.0, 1.0], [1.0, 1.0]], True, 2),
        ([[0.0, 1.0], [1.0]], True, None),
        ([0.5, 1.5], False, None),
        ([None, None], False, None),
    ],
)
def test_found_labels(values: list[Any], multi: bool, expected: object) -> None:
    assert found_labels(rows(label=values), "label", multi_label=multi) == expected


def test_labels_that_are_numbers_are_matched_by_their_value() -> None:
    stars = Declared(labels=("1", "2", "5"))
    assert [label_number(value, stars, what="label") for value in (1, 5, "2")] == [0, 2, 1]
    with pytest.raises(
        DataError, match="the label 0 is out of range: expected one of these numbers, for the labels"
    ):
        label_number(0, stars, what="label")
    truth = Declared(labels=("false", "true"))
    assert [label_number(value, truth, what="label") for value in (True, False)] == [1, 0]


@pytest.mark.parametrize(
    ("table", "more", "message"),
    [
        (rows(a=TEXTS, b=TEXTS), {}, "the format of the rows is not recognised: their columns are 'a' (text), 'b' (te"),
        (rows(review=TEXTS, rating=[1, 2, 3, 4]), {}, "the rows can be read in 2 ways: text-classification from re"),
        (
            rows(text=TEXTS, topic=TEXTS, target=TEXTS),
            {"kind": "text-classification"},
            "the rows can be read as text-classification in 2 ways",
        ),
        (
            rows(prompt=TEXTS, completion=TEXTS, label=[True] * 4), {}, "the rows are judged answers (prompt, complet",
        ),
        (rows(chosen=TEXTS, rejected=TEXTS), {}, "the rows are preferences (chosen, rejected), which are not what"),
        (rows(a=TEXTS), {"kind": "text-classification"}, "there is no column 'text' for the text; the rows have 'a'"),
    ],
)  # fmt: skip
def test_rows_that_are_refused(table: Dataset, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Task("t", train=table, **more)
    assert str(caught.value).split("\n  - ")[0].removeprefix("2 problems:").startswith(
        "task 't': "
    ) or "task 't'" in str(caught.value)
    assert message in str(caught.value)
