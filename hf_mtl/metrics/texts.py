"""Texts that are the same, and texts that share words (ROUGE, by rouge-score)."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from hf_mtl.errors import ConfigError
from hf_mtl.expressions import expression_problem
from hf_mtl.metrics.forms import FloatArray, Rows, texts_lists_of, texts_of
from hf_mtl.metrics.metric import Metric, Weighted
from hf_mtl.metrics.options import Option, flag, sequence_of
from hf_mtl.packages import Package

__all__ = ["exact_match", "rouge"]

_ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_LENGTH = 10_000  # characters of a text: no answer that is compared as a whole is longer
_SHOWN = 60


def _means(by_row: dict[str, FloatArray]) -> Weighted:
    def figures(counts_RN: FloatArray) -> dict[str, FloatArray]:
        return {key: counts_RN @ own / counts_RN.sum(axis=1) for key, own in by_row.items()}

    return figures


def _exact_match(
    predictions: Rows,
    references: Rows,
    *,
    regexes_to_ignore: Sequence[str] | None,
    ignore_case: bool,
    ignore_punctuation: bool,
    ignore_numbers: bool,
) -> Weighted:
    given, golds = texts_of(predictions, "predictions"), texts_lists_of(references, "references")
    deleted = (string.punctuation if ignore_punctuation else "") + (string.digits if ignore_numbers else "")
    table = str.maketrans("", "", deleted)
    longest = max((len(text) for texts in (given, *golds) for text in texts), default=0)
    if problems := _expression_problems(regexes_to_ignore, max(longest, _LENGTH)):
        raise ConfigError([f"the metric 'exact_match': {problem}" for problem in problems])

    def reduced(text: str) -> str:
        for expression in regexes_to_ignore or ():
            text = re.sub(expression, "", text)
        return (text.lower() if ignore_case else text).translate(table)

    right = [reduced(text) in map(reduced, own) for text, own in zip(given, golds, strict=True)]
    return _means({"exact_match": np.array(right, dtype=np.float64)})


class _Tokenizer:
    """A function of texts in the shape that rouge-score asks for."""

    def __init__(self, function: Callable[[str], list[str]]) -> None:
        self.tokenize = function


def _rouge(
    predictions: Rows,
    references: Rows,
    *,
    rouge_types: Sequence[str],
    use_stemmer: bool,
    tokenizer: Callable[[str], list[str]] | None,
) -> Weighted:
    from rouge_score.rouge_scorer import RougeScorer

    given, golds = texts_of(predictions, "predictions"), texts_lists_of(references, "references")
    own = None if tokenizer is None else _Tokenizer(tokenizer)
    scorer = RougeScorer(list(rouge_types), use_stemmer=use_stemmer, tokenizer=own)
    scores = [scorer.score_multi(gold, text) for text, gold in zip(given, golds, strict=True)]
    return _means({name: np.array([score[name].fmeasure for score in scores]) for name in rouge_types})


def _check_stemmer(options: Mapping[str, object], labels: int | None, multi_label: bool) -> list[str]:
    if options["use_stemmer"] and options["tokenizer"] is not None:
        return ["use_stemmer counts only without a tokenizer of your own; leave one of the two out."]
    return []


def _expression_problems(expressions: Iterable[str] | None, length: int) -> list[str]:
    """Why regular expressions cannot be looked for in texts of a length."""
    return [
        f"regexes_to_ignore: {expression[:_SHOWN]!r} is refused for texts of up to {length:,} characters: {problem}. "
        f"Write a simpler one, or leave it out."
        for expression in expressions or ()
        if (problem := expression_problem(expression, length=length, searched=True)) is not None
    ]


def _check_expressions(options: Mapping[str, object], labels: int | None, multi_label: bool) -> list[str]:
    expressions = options["regexes_to_ignore"]
    return _expression_problems(expressions, _LENGTH) if isinstance(expressions, list | tuple) else []


exact_match = Metric(
    "exact_match", form="texts", weighted=_exact_match, main="exact_match", keys=("exact_match",),
    description="share of the rows whose text is the reference", check=_check_expressions,
    valid_options={
        "regexes_to_ignore": Option(
            None,
            "a list of regular expressions",
            lambda value: (
                value is None or (isinstance(value, list | tuple) and all(isinstance(own, str) for own in value))
            ),
        ),
        "ignore_case": flag(),
        "ignore_punctuation": flag(),
        "ignore_numbers": flag(),
    },
)  # fmt: skip

rouge = Metric(
    "rouge", form="texts", weighted=_rouge, main="rougeL", keys=_ROUGE_TYPES,
    description="F-measure of common word sequences, mean over rows, from 0 to 1",
    package=Package("rouge_score", "hf-mtl[metrics]"), check=_check_stemmer,
    valid_options={
        "rouge_types": sequence_of(str, _ROUGE_TYPES, pattern=r"rouge([1-9]|L|Lsum)"),
        "use_stemmer": flag(),
        "tokenizer": Option(None, "a function from a text to its tokens", lambda own: own is None or callable(own)),
    },
)  # fmt: skip
