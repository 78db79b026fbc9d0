"""Extractive question answering: the borders of the answer in a context.

Loss and logits are those of `AutoModelForQuestionAnswering`: the mean of two cross-entropies over a window's tokens.
A context that is too long is read in overlapping windows, as in BERT's treatment of SQuAD (Devlin et al. 2019); a
window without the answer, and every window of a question without one, points at the base's own place for a whole text
(BERT's `[CLS]`, a decoder's end token).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from hf_mtl.data import IGNORED, Example, Row
from hf_mtl.errors import ConfigError, DataError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.metrics import Form
from hf_mtl.tasks.kinds.fields import part, text
from hf_mtl.tasks.kinds.kind import Answers, Context, Declared, Kind, Labelled, Outcome, Role

__all__ = ["Candidate", "QuestionAnswering"]

_WINDOW = 384  # tokens of a window where neither the task nor the base says less
_CONTEXT = 1  # the number of the second text of a pair


class Candidate(NamedTuple):
    """A possible answer: its text, its characters in the context, and the sum of its two logits."""

    text: str
    start: int
    stop: int
    score: float


class _Window(NamedTuple):
    """Tokens of one window; `offsets` are the context's characters of each, (-1, -1) for what is not context."""

    input_ids: list[int]
    types: list[int]
    offsets: list[tuple[int, int]]


@final
@dataclass(frozen=True)
class QuestionAnswering(Kind):
    """Extractive question answering. Rows: `question`, `context`, `answers` as SQuAD has them, and `id` if named.

    Args:
        doc_stride: Tokens of the context that two windows share.
        n_best: Candidates for start and for end that are tried with each other.
        max_answer_length: Most tokens of an answer.
        unanswerable: Whether a question may have no answer (`answers.text` is then empty), as in SQuAD 2.0; `"skip"`
            leaves such rows out.
        null_threshold: How much less likely than "no answer" an answer may be and still be given.
    """

    doc_stride: int = 128
    n_best: int = 20
    max_answer_length: int = 30
    unanswerable: bool | Literal["skip"] = False
    null_threshold: float = 0.0

    name: ClassVar[str] = "question-answering"
    shape: ClassVar[HeadShape] = HeadShape.SPAN
    roles: ClassVar[Mapping[str, Role]] = {
        "question": Role("question", template=True),
        "context": Role("context"),
        "answers": Role("answers"),
        "id": Role("id", required=False),
    }
    metrics: ClassVar[tuple[str, ...]] = ("squad",)
    forms: ClassVar[tuple[Form, ...]] = ("answers",)

    @property
    def default_metrics(self) -> tuple[str, ...]:
        """As in `Kind`."""
        return ("squad_v2",) if self.unanswerable is True else self.metrics

    def problems(self, declared: Declared) -> list[str]:
        """As in `Kind`."""
        problems = [
            f"{name} must be greater than 0, found {value!r}."
            for name, value in (("n_best", self.n_best), ("max_answer_length", self.max_answer_length))
            if value < 1
        ]
        most = declared.max_length or _WINDOW
        if not 0 <= self.doc_stride < most:
            problems.append(
                f"doc_stride must be at least 0 and below the window's {most} tokens, found {self.doc_stride!r}."
            )
        if self.unanswerable not in (True, False, "skip"):
            problems.append(f"unanswerable must be true, false or 'skip', found {self.unanswerable!r}.")
        if declared.labels is not None:
            problems.append("a question-answering task has no labels; leave them out.")
        return problems

    def head(self, declared: Declared) -> HeadSpec:
        """As in `Kind`: one output for the start, one for the end."""
        return HeadSpec(self.shape, 2)

    def examples(self, row: Row, context: Context) -> list[Example]:
        """As in `Kind`: one per window."""
        answers = self._answers(row, context.declared)
        if answers is None:
            return []
        windows = list(self._windows(row, context))
        return [
            Example(
                window.input_ids,
                list(range(len(window.input_ids))),
                [IGNORED] * len(window.input_ids),
                _borders(window, answers, context),
                1.0,
                window.types,
                truncated=len(windows) > 1,
            )
            for window in windows
        ]

    def losses(self, logits: Tensor, labelled: Labelled, declared: Declared) -> Tensor:
        """As in `Kind`: `[R]`."""
        wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
        borders_R2 = labelled.values(wide).long()
        parts = wide.split(list(labelled.counts))
        # A window's logits are [S, 2]: its tokens are the classes.
        each = [
            cross_entropy(part_S2.t(), borders, reduction="sum")
            for part_S2, borders in zip(parts, borders_R2, strict=True)
        ]
        return torch.stack(each) / 2

    def answers(
        self, form: Form, outcomes: Mapping[int, Sequence[Outcome]], rows: Mapping[int, Row], context: Context
    ) -> Answers:
        """As in `Kind`, in SQuAD's form."""
        predictions, references = [], []
        for row, own in outcomes.items():
            gold = self._answers(rows[row], context.declared)
            name = rows[row].get(context.declared.columns.get("id", "id"))
            key = str(row if name is None else name)
            found, null = self.candidates(rows[row], [outcome.output for outcome in own], context)
            refused = self.unanswerable is True and null > found[0].score + self.null_threshold
            predictions.append(
                {"id": key, "prediction_text": "" if refused else found[0].text, "no_answer_probability": 0.0}
            )
            texts, starts = zip(*gold, strict=True) if gold else ((), ())
            references.append({"id": key, "answers": {"text": list(texts), "answer_start": list(starts)}})
        return Answers(predictions, references)

    def candidates(
        self, row: Row, logits: Sequence[np.ndarray], context: Context
    ) -> tuple[list[Candidate], float]:
        """The best answers of a row over all its windows, and the score of "no answer".

        Args:
            row: The row.
            logits: Of each window, `[S, 2]`.
            context: The task on its base.

        Returns:
            Up to `n_best` candidates, the best one first; the smallest score over the windows of both borders at the
            place for a whole text.
        """
        body = text(part(row, "context", self.roles, context.declared.columns), "context")
        found: dict[tuple[int, int], Candidate] = {}
        null = float("inf")
        for window, own in zip(self._windows(row, context), logits, strict=True):
            place = _null_place(window, context)
            null = min(null, float(own[place].sum()))
            for start, stop, score in self._spans(window, own):
                if (start, stop) not in found or found[start, stop].score < score:
                    found[start, stop] = Candidate(body[start:stop], start, stop, score)
        best = sorted(found.values(), key=lambda candidate: -candidate.score)[: self.n_best]
        return best or [Candidate("", 0, 0, -float("inf"))], null

    def _spans(self, window: _Window, logits_S2: np.ndarray) -> Iterator[tuple[int, int, float]]:
        """Characters and score of the spans between the most likely borders of a window."""
        inside = np.array([start >= 0 for start, _ in window.offsets])
        masked = np.where(inside[:, None], logits_S2, -np.inf)
        starts, stops = (np.argsort(-column, kind="stable")[: self.n_best] for column in masked.T)
        for first in starts:
            for last in stops:
                if inside[first] and inside[last] and first <= last < first + self.max_answer_length:
                    score = float(masked[first, 0] + masked[last, 1])
                    yield window.offsets[first][0], window.offsets[last][1], score

    def _windows(self, row: Row, context: Context) -> Iterator[_Window]:
        tokenizer = context.tokenizer
        if not tokenizer.is_fast:
            raise ConfigError(
                f"question-answering needs a fast tokenizer, which tells the characters of its tokens; "
                f"{type(tokenizer).__name__} is none."
            )
        columns = context.declared.columns
        question = text(part(row, "question", self.roles, columns), "question").strip()
        body = text(part(row, "context", self.roles, columns), "context")
        end = _end(context)
        most = min(n for n in (context.declared.max_length or _WINDOW, context.longest) if n is not None)
        most -= len(end)
        # Without a token between the texts of a pair, the last word of the question would touch the context.
        gap = "" if tokenizer.sep_token_id is not None else "\n"
        asked = len(tokenizer(question + gap, "", verbose=False)["input_ids"])
        if most - asked <= self.doc_stride:
            raise DataError(
                f"the question has {asked} tokens, which leaves {max(0, most - asked)} of a window of "
                f"{most + len(end)} for the "
                f"context; expected more than doc_stride={self.doc_stride}. Raise max_length or lower doc_stride."
            )
        encoded = tokenizer(
            question + gap,
            body,
            truncation="only_second",
            max_length=most,
            stride=self.doc_stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        types: Any = encoded.get("token_type_ids") or [[]] * len(
            encoded["input_ids"]
        )  # Any: lists of numbers
        for i, input_ids in enumerate(encoded["input_ids"]):
            offsets = [
                (span[0], span[1]) if text_number == _CONTEXT else (-1, -1)
                for span, text_number in zip(
                    encoded["offset_mapping"][i], encoded.sequence_ids(i), strict=True
                )
            ]
            typed = [*types[i], *(0 for _ in end)] if any(types[i]) else []
            yield _Window([*input_ids, *end], typed, [*offsets, *((-1, -1) for _ in end)])

    def _answers(self, row: Row, declared: Declared) -> list[tuple[str, int]] | None:
        """Each answer's text and first character; None if the row does not say."""
        value = part(row, "answers", self.roles, declared.columns)
        if value is None:
            return None
        if not isinstance(value, Mapping) or not {"text", "answer_start"} <= set(value):
            raise DataError(
                f"the answers are {value!r}; expected {{'text': [...], 'answer_start': [...]}} as in SQuAD."
            )
        texts, starts = list(value["text"]), list(value["answer_start"])
        if len(texts) != len(starts):
            raise DataError(
                f"the answers have {len(texts)} texts but {len(starts)} starts; expected as many."
            )
        if not texts and self.unanswerable == "skip":
            return None
        if not texts and not self.unanswerable:
            raise DataError(
                "the question has no answer; declare QuestionAnswering(unanswerable=True), or 'skip' to leave such "
                "rows out."
            )
        body = text(part(row, "context", self.roles, declared.columns), "context")
        for answer, start in zip(texts, starts, strict=True):
            if not answer.strip() or body[start : start + len(answer)] != answer:
                raise DataError(
                    f"the answer {answer!r} is not in its context at character {start}; found "
                    f"{body[max(0, start) : start + max(1, len(answer))]!r} there."
                )
        return list(zip(texts, starts, strict=True))


def _end(context: Context) -> list[int]:
    """The end token, where the tokenizer itself puts none behind a pair of texts.

    Without one, "no answer" would stand at the context's own last token, and could not be told from an answer there.

    Raises:
        ConfigError: If there is no such token.
    """
    tokenizer = context.tokenizer
    if tokenizer("?", "?").sequence_ids(0)[-1] != _CONTEXT:
        return []
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            "the tokenizer has no end token (eos_token), at which the base could say that a window holds no answer. "
            "Set one."
        )
    return [tokenizer.eos_token_id]


def _null_place(window: _Window, context: Context) -> int:
    return context.places(len(window.input_ids))[0]


def _borders(window: _Window, answers: Sequence[tuple[str, int]], context: Context) -> list[float]:
    """First and last token of the first answer in a window, or twice the place that says that there is none."""
    null = float(_null_place(window, context))
    if not answers:
        return [null, null]
    answer, start = answers[0]
    stop = start + len(answer)
    inside = [
        place
        for place, (first, last) in enumerate(window.offsets)
        if first >= 0 and first < stop and last > start
    ]
    whole = inside and window.offsets[inside[0]][0] <= start and window.offsets[inside[-1]][1] >= stop
    return [float(inside[0]), float(inside[-1])] if whole else [null, null]
