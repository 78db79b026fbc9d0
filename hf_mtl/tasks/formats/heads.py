"""Formats of the kinds with a private head: classes, tags, numbers, answers in a context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hf_mtl.tasks.formats.columns import Columns, Sort
from hf_mtl.tasks.formats.reading import Reading

__all__ = ["PAIRS", "head_readings"]

TEXTS: Final = (
    ("text",),
    (
        "sentence", "review", "content", "comment", "tweet", "utterance", "message", "post", "document", "article",
        "news", "description", "body", "email", "sms", "abstract",
    ),
    ("headline", "title", "query", "question"),
)  # fmt: skip
PAIRS: Final = (
    ("text", "text_pair"), ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question", "sentence"),
    ("question1", "question2"), ("text_a", "text_b"), ("text1", "text2"), ("sentence_a", "sentence_b"), ("s1", "s2"),
    ("sent1", "sent2"), ("claim", "evidence"), ("query", "passage"), ("query", "document"), ("question", "passage"),
    ("question", "context"),
)  # fmt: skip
_LABELS: Final = (
    ("label", "labels"),
    (
        "class",
        "category",
        "class_index",
        "sentiment",
        "intent",
        "topic",
        "emotion",
        "target",
        "gold",
        "gold_label",
    ),
    ("score", "rating", "stars", "similarity", "similarity_score"),
)
_TAGS: Final = (
    ("ner_tags", "tags", "labels", "ner", "bio_tags", "slots"),
    ("pos_tags", "chunk_tags", "upos_tags", "pos", "upos"),
)
_WORDS: Final = ("tokens", "words")
_IMAGES: Final = ("image", "img", "picture", "pixel_values")
_ONE: Final = (Sort.CLASS, Sort.TEXT, Sort.INTEGER, Sort.TRUTH, Sort.NUMBER)
_SEVERAL: Final = (Sort.TEXTS, Sort.INTEGERS, Sort.CLASSES, Sort.NUMBERS)
_TAG_SORTS: Final = (Sort.TEXTS, Sort.INTEGERS, Sort.CLASSES)


def head_readings(columns: Columns, wanted: str | None) -> Iterator[Reading]:
    """Every reading of rows for a kind with a private head.

    Args:
        columns: The rows' columns.
        wanted: The kind that the task names; None if it names none.
    """
    for first, second in PAIRS:
        texts = columns.named([first], Sort.TEXT) + columns.named([second], Sort.TEXT)
        if len(texts) == len((first, second)):
            yield from _labelled(columns, {"text": texts[0], "text_pair": texts[1]}, wanted)
    for text in _tier(columns, TEXTS, Sort.TEXT):
        yield from _labelled(columns, {"text": text}, wanted)
    for image in columns.named(_IMAGES, Sort.IMAGE) or columns.holding(Sort.IMAGE):
        for label in _tier(columns, _LABELS, Sort.CLASS, Sort.TEXT, Sort.INTEGER, Sort.TRUTH):
            yield _reading("image-classification", {"image": image, "label": label})
    for words in columns.named(_WORDS, Sort.TEXTS):
        for tags in _tier(columns, _TAGS, *_TAG_SORTS):
            yield _reading("token-classification", {"tokens": words, "tags": tags})
    yield from _answers(columns)


def _labelled(columns: Columns, texts: dict[str, str], wanted: str | None) -> Iterator[Reading]:
    """A text or a pair of texts with each label that it may have."""
    for label in _tier(columns, _LABELS, *_ONE, *_SEVERAL):
        if label in texts.values():
            continue
        sort, parts = columns.sorts[label], {**texts, "label": label}
        measured = label in columns.named(_LABELS[-1], sort)
        numbers = sort in (Sort.INTEGER, Sort.NUMBER)
        if sort in _SEVERAL:
            yield _reading("text-classification", parts, problem_type="multi_label")
        elif sort is not Sort.NUMBER:
            yield _reading("text-classification", parts)
        # Whole numbers under a name such as "rating" are classes or a measure; nothing in them says which.
        if sort is Sort.NUMBER or (numbers and (measured or wanted == "regression")):
            yield _reading("regression", parts)


def _answers(columns: Columns) -> Iterator[Reading]:
    question, context = (columns.named([name], Sort.TEXT) for name in ("question", "context"))
    answers = columns.named(["answers", "answer"], Sort.ANSWERS)
    if question and context and answers:
        parts = {"question": question[0], "context": context[0], "answers": answers[0]}
        named = columns.named(["id"], Sort.TEXT, Sort.INTEGER)
        yield _reading("question-answering", parts | ({"id": named[0]} if named else {}))


def _tier(columns: Columns, tiers: tuple[tuple[str, ...], ...], *sorts: Sort) -> list[str]:
    """The columns of the first tier of names that has any: a `label` is one, whatever else there is."""
    return next((found for tier in tiers if (found := columns.named(tier, *sorts))), [])


def _reading(kind: str, parts: dict[str, str], **options: object) -> Reading:
    return Reading(kind, " + ".join(parts.values()), tuple(parts.values()), parts, options=options)
