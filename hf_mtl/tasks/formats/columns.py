"""The columns of a task's rows: their names, and which sort of value each holds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from datasets import ClassLabel, Dataset, Image, IterableDataset, LargeList, List, Translation, Value

from hf_mtl.data import with_raw_images

__all__ = ["Columns", "Sort"]

_SAMPLE: Final = 100
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}([_-][A-Za-z]{2,8})*")


class Sort(StrEnum):
    """What a column holds, in the words of messages."""

    TEXT = "text"
    INTEGER = "whole numbers"
    NUMBER = "numbers"
    TRUTH = "true or false"
    CLASS = "classes"
    IMAGE = "images"
    TEXTS = "lists of texts"
    INTEGERS = "lists of whole numbers"
    NUMBERS = "lists of numbers"
    CLASSES = "lists of classes"
    MESSAGES = "messages"
    TURNS = "ShareGPT turns"
    ANSWERS = "SQuAD answers"
    LANGUAGES = "texts by language"
    NOTHING = "nothing"
    OTHER = "something else"


_LISTS: Final = {
    Sort.TEXT: Sort.TEXTS,
    Sort.INTEGER: Sort.INTEGERS,
    Sort.NUMBER: Sort.NUMBERS,
    Sort.TRUTH: Sort.NUMBERS,
    Sort.CLASS: Sort.CLASSES,
}


@dataclass(frozen=True)
class Columns:
    """The columns of a task's rows.

    Args:
        sorts: By column, what it holds.
        languages: By column of `Sort.LANGUAGES`, its languages in the order of the rows.
        called: By a normal form of its name, or by the role that the task gives it, the column.
    """

    sorts: Mapping[str, Sort]
    languages: Mapping[str, tuple[str, ...]]
    called: Mapping[str, str]

    @classmethod
    def of(cls, rows: Dataset | IterableDataset, roles: Mapping[str, str]) -> Columns:
        """The columns of rows.

        Args:
            rows: The rows; of a stream, and of columns whose features say too little, the first hundred are read.
            roles: By role, the column that the task names for it.
        """
        features = dict(rows.features or {})
        sample = (
            _sample(with_raw_images(rows))
            if not features or not all(map(_says_enough, features.values()))
            else []
        )
        names = list(features) or list(dict.fromkeys(name for row in sample for name in row))
        sorts, languages = {}, {}
        for name in names:
            feature = features.get(name)
            values = [row.get(name) for row in sample]
            sorts[name] = _of_feature(feature) if _says_enough(feature) else _of_values(values)
            if sorts[name] is Sort.LANGUAGES:
                languages[name] = _languages(feature, values)
        called = {_normal(name): name for name in reversed(names)}
        given = {role: column for role, column in roles.items() if column in sorts}
        # A column that has one role has no other by its name.
        called = {name: column for name, column in called.items() if column not in given.values()}
        return cls(sorts, languages, called | given)

    def named(self, names: Iterable[str], *sorts: Sort) -> list[str]:
        """The columns that have one of the names, in their order, and hold one of the sorts."""
        found = (self.called[name] for name in names if name in self.called)
        return list(dict.fromkeys(column for column in found if self.sorts[column] in sorts))

    def holding(self, *sorts: Sort) -> list[str]:
        """The columns that hold one of the sorts."""
        return [column for column, sort in self.sorts.items() if sort in sorts]

    def described(self, columns: Iterable[str] | None = None) -> str:
        """Columns with what they hold, for a message."""
        wanted = self.sorts if columns is None else columns
        return ", ".join(f"{column!r} ({self.sorts[column]})" for column in wanted)


def _normal(name: str) -> str:
    """A column's name as formats call it: `Sentence 1` and `sentence1` are one.

    >>> _normal("Sentence 1"), _normal("ner-tags")
    ('sentence1', 'ner_tags')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
    return re.sub(r"_(\d+)$", r"\1", plain)


def _sample(rows: Dataset | IterableDataset) -> list[Mapping[str, object]]:
    if isinstance(rows, IterableDataset):
        return list(rows.take(_SAMPLE))
    return list(rows.with_format(None).select(range(min(_SAMPLE, len(rows)))))


def _says_enough(feature: object) -> bool:
    """Whether a feature says what its column holds; one of mixed JSON does not."""
    if isinstance(feature, List | LargeList):
        return _says_enough(feature.feature)
    return isinstance(feature, Value | ClassLabel | Image | Translation | dict)


def _of_feature(feature: object) -> Sort:
    if isinstance(feature, Value):
        return _of_dtype(str(feature.dtype))
    if isinstance(feature, ClassLabel):
        return Sort.CLASS
    if isinstance(feature, Image):
        return Sort.IMAGE
    if isinstance(feature, Translation):
        return Sort.LANGUAGES
    if isinstance(feature, List | LargeList):
        if isinstance(feature.feature, dict):
            return _of_turns(feature.feature)
        return _LISTS.get(_of_feature(feature.feature), Sort.OTHER)
    return _of_struct(feature) if isinstance(feature, dict) else Sort.OTHER


def _of_dtype(dtype: str) -> Sort:
    if dtype in ("string", "large_string"):
        return Sort.TEXT
    if dtype.startswith(("int", "uint")):
        return Sort.INTEGER
    if dtype.startswith("float"):
        return Sort.NUMBER
    return {"bool": Sort.TRUTH, "null": Sort.NOTHING}.get(dtype, Sort.OTHER)


def _of_struct(feature: Mapping[str, object]) -> Sort:
    if {"text", "answer_start"} <= set(feature):
        lists = (isinstance(feature[key], List | LargeList) for key in ("text", "answer_start"))
        return Sort.ANSWERS if all(lists) else Sort.OTHER
    texts = all(isinstance(own, Value) and _of_dtype(str(own.dtype)) is Sort.TEXT for own in feature.values())
    return Sort.LANGUAGES if texts and _are_languages(feature) else Sort.OTHER


def _languages(feature: object, values: Sequence[object]) -> tuple[str, ...]:
    """The languages of a column, in the order in which its rows have them."""
    if isinstance(feature, Translation):
        return tuple(feature.languages)
    first = next((value for value in (feature, *values) if isinstance(value, dict)), {})
    return tuple(map(str, first))


def _are_languages(keys: Iterable[str]) -> bool:
    keys = list(keys)
    return len(keys) > 1 and all(_LANGUAGE.fullmatch(key) for key in keys)


def _of_turns(keys: Iterable[str]) -> Sort:
    keys = set(keys)
    if "role" in keys:
        return Sort.MESSAGES
    return Sort.TURNS if {"from", "value"} <= keys else Sort.OTHER


def _of_values(values: Sequence[object]) -> Sort:
    """What values of rows hold; all of them must agree."""
    sorts = {_of_value(value) for value in values if value is not None}
    if not sorts:
        return Sort.NOTHING
    if sorts == {Sort.INTEGER, Sort.NUMBER}:
        return Sort.NUMBER
    return sorts.pop() if len(sorts) == 1 else Sort.OTHER


def _of_value(value: object) -> Sort:
    if isinstance(value, str):
        return Sort.TEXT
    if isinstance(value, bool):
        return Sort.TRUTH
    if isinstance(value, int | float):
        return Sort.INTEGER if isinstance(value, int) else Sort.NUMBER
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        kinds = {_of_turns(item) for item in value}
        return kinds.pop() if len(kinds) == 1 else Sort.OTHER
    if isinstance(value, list):
        return _LISTS.get(_of_values(value), Sort.OTHER)
    if isinstance(value, dict) and {"text", "answer_start"} <= set(value):
        return Sort.ANSWERS if isinstance(value["text"], list) else Sort.OTHER
    is_texts = isinstance(value, dict) and all(isinstance(own, str) for own in value.values())
    return Sort.LANGUAGES if is_texts and _are_languages(value) else Sort.OTHER  # type: ignore[arg-type]  # a dict
