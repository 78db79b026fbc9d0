"""Small files in the formats that people have, and the bases that learn from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from datasets import ClassLabel, Dataset, Features, Image, Value
from kind_bases import picture

__all__ = ["FORMATS", "FormatCase"]

Content = str | bytes | Callable[[Path], None]
"""A file's text or bytes, or what writes it."""


@dataclass(frozen=True)
class FormatCase:
    """Files in one format.

    Args:
        files: By name, the files of one task.
        line: What is recognised, without the task's name.
        ask: An input for the trained task, as a row without its answer, or a whole text.
        base: Its base's name in `kind_bases.BASES`; `chat` for a Llama with a chat template.
        more: Lines that the recipe holds.
    """

    files: Mapping[str, Content]
    line: str
    ask: Mapping[str, object] | str
    base: str = "llama"
    more: tuple[str, ...] = field(default=())


def jsonl(*rows: Mapping[str, object]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def parquet(rows: Mapping[str, list[Any]], features: Features | None = None) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        Dataset.from_dict(dict(rows), features=features).to_parquet(path)

    return write


def arrow(rows: Mapping[str, list[Any]]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with TemporaryDirectory() as folder:
            Dataset.from_dict(dict(rows)).save_to_disk(folder)
            (file,) = Path(folder).glob("*.arrow")
            shutil.copy(file, path)

    return write


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


GOOD, BAD = "the good old film", "a bad play"
TEXTS = [GOOD, BAD, "great fun", "a poor actor"]
NAMES = ["good", "bad", "good", "bad"]
REVIEWS = [{"text": text, "label": name} for text, name in zip(TEXTS, NAMES, strict=True)]
TWO = "text-classification from text + label, 2 labels: bad, good"
ASKED = {"text": "a great film"}
SQUAD = [
    {
        "context": "John Smith lives in Paris",
        "question": "who ?",
        "answers": {"text": ["John"], "answer_start": [0]},
    },
    {
        "context": "it flows to the sea",
        "question": "where ?",
        "answers": {"text": ["the sea"], "answer_start": [12]},
    },
]
QUESTION = {"question": "where ?", "context": "it flows to the sea"}
PICTURES = Features({"image": Image(), "label": ClassLabel(names=["a", "b"])})
CLASSES = Features({"text": Value("string"), "label": ClassLabel(names=["bad", "good"])})
CONLL = """\
-DOCSTART- -X- -X- O

John NNP B-NP B-PER
lives VBZ B-VP O

Paris NNP B-NP B-LOC
works VBZ B-VP O
"""
BIO = "John\tB-PER\nlives\tO\n\nParis\tB-LOC\n\nAcme\tB-ORG\nworks\tO\n"
NESTED = {
    "version": "1.1",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": row["context"],
                    "qas": [
                        {
                            "id": str(i),
                            "question": row["question"],
                            "answers": [{"text": "John", "answer_start": 0}] if i == 0 else [],
                        }
                    ],
                }
                for i, row in enumerate(SQUAD)
            ],
        }
    ],
}
TURNS = [{"from": "human", "value": "who ?"}, {"from": "gpt", "value": "Mary"}]


def _named_pictures(path: Path) -> None:
    (path.parent / "pictures").mkdir()
    lines = ["file_name,label"]
    for seed in range(4):
        picture(seed).save(path.parent / "pictures" / f"{seed}.png")
        lines.append(f"pictures/{seed}.png,{'ab'[seed % 2]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _pictures(path: Path) -> None:
    rows = {"image": [picture(seed) for seed in range(4)], "label": [0, 1, 0, 1]}
    Dataset.from_dict(rows, features=PICTURES).to_parquet(path)


FORMATS: dict[str, FormatCase] = {
    "prompt and completion": FormatCase(
        {"a.jsonl": jsonl({"prompt": "who ?", "completion": " Mary"}, {"prompt": "where ?", "completion": " Paris"})},
        "causal-lm from prompt + completion",
        {"prompt": "who ?"},
    ),
    "conversational prompt and completion": FormatCase(
        {"a.jsonl": jsonl(*({"prompt": [user(text)], "completion": [assistant("fun")]} for text in TEXTS))},
        "causal-lm from conversational prompt + completion",
        {"prompt": [user("who ?")], "completion": [assistant("fun")]},
        "chat",
        ("messages: prompt", "completion: completion"),
    ),
    "messages": FormatCase(
        {"a.jsonl": jsonl(*({"messages": [user(text), assistant("fun")], "source": "x"} for text in TEXTS))},
        "causal-lm from messages in 'messages' (not used: source)",
        {"messages": [user("who ?")]},
        "chat",
    ),
    "messages of several turns": FormatCase(
        {"a.json": json.dumps([{"id": 1, "messages": [
            {"role": "system", "content": "be good"}, user("a"), assistant("b"), user("c"), assistant("d"),
        ]}] * 3)},
        "causal-lm from messages in 'messages'",
        {"messages": [user("who ?")]},
        "chat",
    ),
    "ShareGPT": FormatCase(
        {"a.json": json.dumps([{"id": "1", "conversations": TURNS}, {"id": "2", "conversations": TURNS * 2}])},
        "causal-lm from ShareGPT conversations in 'conversations'",
        {"conversations": TURNS[:1]},
        "chat",
    ),
    "Alpaca": FormatCase(
        {"a.json": json.dumps([{"instruction": "sing", "input": "", "output": "sang"},
                               {"instruction": "walk", "input": "in Paris", "output": "walked"}])},
        "causal-lm from instruction + input + output",
        {"instruction": "run", "input": "in Paris"},
    ),
    "Alpaca as CSV, with empty inputs": FormatCase(
        {"a.csv": "instruction,input,output\nsing,,sang\nwalk,in Paris,walked\n"},
        "causal-lm from instruction + input + output",
        {"instruction": "run", "input": None},
    ),
    "instruction and response": FormatCase(
        {"a.csv": "instruction,response\nsing,sang\nwalk,walked\n"},
        "causal-lm from instruction + response",
        {"instruction": "run"},
    ),
    "question and answer": FormatCase(
        {"a.jsonl": jsonl({"question": "who ?", "answer": "Mary"}, {"question": "where ?", "answer": "Paris"})},
        "causal-lm from question + answer",
        {"question": "who ?"},
    ),
    "lines of text": FormatCase(
        {"a.txt": "\n".join(TEXTS)}, "causal-lm from a corpus in 'text'", "the good", "llama",
        ("train: {source: a.txt, sample_by: line}",),
    ),
    "paragraphs of text": FormatCase(
        {"a.txt": "\r\n\r\n".join(TEXTS)}, "causal-lm from a corpus in 'text'", "the good", "llama",
        ("train: {source: a.txt, sample_by: paragraph}",),
    ),
    "a column of text": FormatCase(
        {"a.parquet": parquet({"id": [1, 2, 3, 4], "content": TEXTS})},
        "causal-lm from a corpus in 'content'",
        "the good",
    ),
    "text and label": FormatCase({"a.jsonl": jsonl(*REVIEWS)}, TWO, ASKED, more=("labels: [bad, good]",)),
    "text and label on BERT": FormatCase({"a.ndjson": jsonl(*REVIEWS)}, TWO, ASKED, "bert"),
    "text and label as CSV with a mark": FormatCase(
        {"a.csv": b"\xef\xbb\xbftext,label\na bad play,None\n\"good, great\",NA\nbad,None\n"},
        "text-classification from text + label, 2 labels: NA, None",
        ASKED,
    ),
    "semicolons": FormatCase(
        {"a.csv": "Review;Sentiment\ngood, fine;pos\nbad, poor;neg\ngood;pos\n"},
        "text-classification from Review + Sentiment, 2 labels: neg, pos",
        {"Review": "great"},
    ),
    "TSV with numbers and quotation marks": FormatCase(
        {"a.tsv": "sentence\tlabel\nthe \"good\" film\t0\n\"bad\t1\ngreat\t0\n"},
        "text-classification from sentence + label, 2 labels, numbered from 0",
        {"sentence": "great"},
    ),
    "UTF-16": FormatCase(
        {"a.csv": "text,label\ngood,bién\nbad,mal\ngreat,bién\n".encode("utf-16")},
        "text-classification from text + label, 2 labels: bién, mal",
        ASKED,
        "bert",
    ),
    "JSON lines in UTF-16": FormatCase({"a.jsonl": jsonl(*REVIEWS).encode("utf-16")}, TWO, ASKED),
    "JSON with the rows under a key": FormatCase(
        {"a.json": json.dumps({"version": 2, "data": REVIEWS})}, TWO, ASKED
    ),
    "JSON by column": FormatCase({"a.json": json.dumps({"text": TEXTS, "label": NAMES})}, TWO, ASKED),
    "Arrow": FormatCase({"a.arrow": arrow({"text": TEXTS, "label": NAMES})}, TWO, ASKED),
    "Parquet with classes": FormatCase(
        {"a.parquet": parquet({"text": TEXTS, "label": [1, 0, 1, 0]}, CLASSES)},
        "text-classification from text + label",
        ASKED,
        "bert",
    ),
    "classes that do not begin with 0": FormatCase(
        {"a.jsonl": jsonl(*({"text": text, "label": i + 1} for i, text in enumerate(TEXTS)))},
        "text-classification from text + label, 4 labels: 1, 2, 3, 4",
        ASKED,
    ),
    "true and false": FormatCase(
        {"a.csv": "text,label\ngood,True\nbad,False\n"},
        "text-classification from text + label, 2 labels: false, true",
        ASKED,
    ),
    "several labels": FormatCase(
        {"a.jsonl": jsonl({"text": "good", "labels": ["x", "y"]}, {"text": "bad", "labels": []},
                          {"text": "great", "labels": ["z"]})},
        "multi-label text-classification from text + labels, 3 labels: x, y, z",
        ASKED,
        "bert",
    ),
    "several labels as flags": FormatCase(
        {"a.jsonl": jsonl({"text": "good", "labels": [1.0, 0.0, 1.0]}, {"text": "bad", "labels": [0.0, 0.0, 1.0]})},
        "multi-label text-classification from text + labels, 3 labels, numbered from 0",
        ASKED,
    ),
    "premise and hypothesis": FormatCase(
        {"a.jsonl": jsonl({"premise": GOOD, "hypothesis": BAD, "label": "no"},
                          {"premise": GOOD, "hypothesis": "good", "label": "yes"})},
        "text-classification from premise + hypothesis + label, 2 labels: no, yes",
        {"premise": GOOD, "hypothesis": BAD},
        "bert",
    ),
    "two questions": FormatCase(
        {"a.tsv": "id\tquestion1\tquestion2\tlabel\n1\twho ?\twhere ?\t0\n2\twho ?\twho wrote ?\t1\n"},
        "text-classification from question1 + question2 + label, 2 labels, numbered from 0",
        {"question1": "who ?", "question2": "who ?"},
        "roberta",
    ),
    "a question and a sentence": FormatCase(
        {"a.csv": "question,sentence,label,idx\nwho ?,Mary wrote,yes,0\nwhere ?,Mary wrote,no,1\n"},
        "text-classification from question + sentence + label, 2 labels: no, yes",
        {"question": "who ?", "sentence": "Mary"},
        "bert",
    ),
    "two sentences and a score": FormatCase(
        {"a.csv": "sentence1,sentence2,score\ngood,great,4.5\ngood,bad,0.5\n"},
        "regression from sentence1 + sentence2 + score",
        {"sentence1": "good", "sentence2": "bad"},
        "bert",
    ),
    "tokens and tags": FormatCase(
        {"a.jsonl": jsonl({"tokens": ["John", "lives"], "ner_tags": ["B-PER", "O"]},
                          {"tokens": ["Paris"], "ner_tags": ["B-LOC"]})},
        "token-classification from tokens + ner_tags, 3 labels: B-LOC, B-PER, O",
        {"tokens": ["Mary", "wrote"]},
        "bert",
    ),
    "CoNLL-2003": FormatCase(
        {"a.txt": CONLL},
        "token-classification from tokens + ner_tags, 3 labels: B-LOC, B-PER, O (not used: pos_tags, chunk_tags)",
        {"tokens": ["Mary", "wrote"]},
        "bert",
    ),
    "BIO": FormatCase(
        {"a.bio": BIO},
        "token-classification from tokens + tags, 4 labels: B-LOC, B-ORG, B-PER, O",
        {"tokens": ["Mary", "wrote"]},
    ),
    "SQuAD": FormatCase(
        {"a.jsonl": jsonl(*({"id": str(i), **row} for i, row in enumerate(SQUAD)))},
        "question-answering from question + context + answers + id",
        QUESTION,
        "bert",
    ),
    "SQuAD 2 as published": FormatCase(
        {"a.json": json.dumps(NESTED)},
        "question-answering from question + context + answers + id, some of them without an answer",
        QUESTION,
    ),
    "document and summary": FormatCase(
        {"a.jsonl": jsonl({"document": GOOD, "summary": "good"}, {"document": BAD, "summary": "bad"})},
        "causal-lm from document + summary",
        {"document": GOOD},
    ),
    "article and highlights for an encoder-decoder": FormatCase(
        {"a.csv": "article,highlights,id\nthe good old film,good,1\na bad play,bad,2\n"},
        "seq2seq-lm from article + highlights",
        {"article": GOOD},
        "t5",
    ),
    "translations": FormatCase(
        {"a.json": json.dumps([{"translation": {"en": "the sea", "fr": "la mer"}}] * 3)},
        "causal-lm from translation, en to fr",
        {"translation": {"en": "the sea"}},
    ),
    "translations in columns": FormatCase(
        {"a.csv": "en,de\nthe sea,das Meer\nthe river,der Fluss\n"},
        "seq2seq-lm from en to de",
        {"en": "the sea"},
        "t5",
    ),
    "paths of images": FormatCase(
        {"a.csv": _named_pictures},
        "image-classification from file_name + label, 2 labels: a, b",
        {"file_name": "picture.png"},
        "vit",
    ),
    "images": FormatCase(
        {"a.parquet": _pictures}, "image-classification from image + label", {"image": "picture.png"}, "vit"
    ),
    "splits by name": FormatCase(
        {"a.train.csv": "text,label\ngood,x\nbad,y\n", "a.valid.csv": "text,label\ngreat,x\n",
         "a.test.csv": "text,label\npoor,y\n"},
        "text-classification from text + label, 2 labels: x, y",
        ASKED,
        more=("train: a.train.csv", "eval: a.valid.csv", "test: a.test.csv"),
    ),
}  # fmt: skip
