"""Extractive question answering: the borders of the answer in a context.

Loss and logits are those of `AutoModelForQuestionAnswering`: the mean of two cross-entropies over a window's tokens.
A context that is too long is read in overlapping windows, as in BERT's treatment of SQuAD (Devlin et al. 2019); a
window without the answer, and every window of a question without one, points at the base's own place for a whole text
(BERT's `[CLS]`, a decoder's end token).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, final

import numpy as np

from hf_mtl.bounds import ANY_NUMBER, COUNT, WHOLE, Bounds
from hf_mtl.data import IGNORED, Example, Row
from hf_mtl.errors import DataError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.metrics import Form
from hf_mtl.tasks.kinds.declared import Declared, Role
from hf_mtl.tasks.kinds.fields import by_role, part, text
from hf_mtl.tasks.kinds.kind import Answers, Context, Kind, Labelled, Outcome
from hf_mtl.tasks.kinds.query import Found, Option, Query, count, settled, truth
from hf_mtl.tasks.kinds.spans import spans_of
from hf_mtl.tasks.kinds.windows import MOST_TOKENS, Window, borders, null_place, windows

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Candidate", "QuestionAnswering"]


class Candidate(NamedTuple):
    """A possible answer: its text, its characters in the context, and the sum of its two logits."""

    text: str
    start: int
    stop: int
    score: float


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

    bounds: ClassVar[Mapping[str, Bounds]] = {
        "doc_stride": WHOLE,
        "n_best": COUNT,
        "max_answer_length": COUNT,
        "null_threshold": ANY_NUMBER,
    }
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
    options: ClassVar[Mapping[str, Option]] = {
        "top_k": count(1),
        "handle_impossible_answer": truth(None),
        "max_answer_len": count(None),
        "align_to_words": truth(True),
    }

    @property
    def default_metrics(self) -> tuple[str, ...]:
        """As in `Kind`."""
        return ("squad_v2",) if self.unanswerable is True else self.metrics

    def problems(self, declared: Declared) -> list[str]:
        """As in `Kind`."""
        wrong = {name for name, own in self.bounds.items() if own.problem(vars(self)[name])}
        problems = []
        most = declared.max_length or MOST_TOKENS
        if "doc_stride" not in wrong and self.doc_stride >= most:
            problems.append(
                f"doc_stride must be below the window's {most} tokens, found {self.doc_stride!r}."
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
        own = list(self._windows(row, context))
        return [_example(window, borders(window, answers, context), len(own)) for window in own]

    def losses(self, logits: Tensor, labelled: Labelled, declared: Declared) -> Tensor:
        """As in `Kind`: `[R]`."""
        import torch
        from torch.nn.functional import cross_entropy

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

    def query(self, given: object, options: Mapping[str, object], context: Context) -> Query:
        """As in `Kind`: a question and a context, as a dict, a pair or a row.

        `handle_impossible_answer` is by default what the task's `unanswerable` says, `max_answer_len` its
        `max_answer_length`.
        """
        if isinstance(given, Mapping):
            found = by_role(given, ("question", "context"), self.roles, context.declared.columns)
        elif isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:
            found = dict(zip(("question", "context"), given, strict=True))
        else:
            raise DataError(
                f'expected {{"question": ..., "context": ...}} or a pair of the two, found {type(given).__name__}: '
                f"{given!r:.80}"
            )
        known = dict(self.options)
        known["handle_impossible_answer"] = truth(self.unanswerable is True)
        known["max_answer_len"] = count(self.max_answer_length)
        chosen = settled(options, known, self.name)
        body = text(found["context"], "context")
        asked = text(found["question"], "question").strip()
        own = list(windows(asked, body, context, stride=self.doc_stride))
        return Query(chosen, tuple(_example(window, [], len(own)) for window in own), source=(body, own))

    def reply(
        self, query: Query, found: Found, context: Context
    ) -> dict[str, Any] | list[dict[str, Any]]:  # Any: texts and numbers
        """As in `Kind`: `{"score", "start", "end", "answer"}`, a list of them if `top_k` is above 1."""
        body, own = query.source
        nulls = [null_place(window, context) for window in own]
        answers = spans_of(body, own, found.logits, nulls, query.options, null_threshold=self.null_threshold)
        return answers[0] if query.options["top_k"] == 1 else answers

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
            place = null_place(window, context)
            null = min(null, float(own[place].sum()))
            for start, stop, score in self._spans(window, own):
                if (start, stop) not in found or found[start, stop].score < score:
                    found[start, stop] = Candidate(body[start:stop], start, stop, score)
        best = sorted(found.values(), key=lambda candidate: -candidate.score)[: self.n_best]
        return best or [Candidate("", 0, 0, -float("inf"))], null

    def _spans(self, window: Window, logits_S2: np.ndarray) -> Iterator[tuple[int, int, float]]:
        """Characters and score of the spans between the most likely borders of a window."""
        inside = np.array([start >= 0 for start, _ in window.offsets])
        masked = np.where(inside[:, None], logits_S2, -np.inf)
        starts, stops = (np.argsort(-column, kind="stable")[: self.n_best] for column in masked.T)
        for first in starts:
            for last in stops:
                if inside[first] and inside[last] and first <= last < first + self.max_answer_length:
                    score = float(masked[first, 0] + masked[last, 1])
                    yield window.offsets[first][0], window.offsets[last][1], score

    def _windows(self, row: Row, context: Context) -> Iterator[Window]:
        columns = context.declared.columns
        question = text(part(row, "question", self.roles, columns), "question").strip()
        body = text(part(row, "context", self.roles, columns), "context")
        return windows(question, body, context, stride=self.doc_stride)

    def _answers(self, row: Row, declared: Declared) -> list[tuple[str, int]] | None:
        """Each answer's text and first character; None if the row does not say."""
        value = part(row, "answers", self.roles, declared.columns)
        if value is None:
            return None
        texts, starts = _lists(value)
        if len(texts) != len(starts):
            raise DataError(
                f"the answers have {len(texts)} texts but {len(starts)} starts; expected as many.",
                reason="malformed answers",
            )
        if not texts and self.unanswerable == "skip":
            return None
        if not texts and not self.unanswerable:
            raise DataError(
                "the question has no answer; declare QuestionAnswering(unanswerable=True), or 'skip' to leave such "
                "rows out.",
                reason="empty answer",
            )
        body = text(part(row, "context", self.roles, declared.columns), "context")
        for answer, start in zip(texts, starts, strict=True):
            if not answer.strip() or start < 0 or body[start : start + len(answer)] != answer:
                raise DataError(
                    f"the answer {answer!r} is not in its context at character {start}; found "
                    f"{body[max(0, start) : start + max(1, len(answer))]!r} there.",
                    reason="answer not in its context",
                )
        return list(zip(texts, starts, strict=True))


def _example(window: Window, targets: list[float], windows_in_all: int) -> Example:
    """A window all of whose tokens are read."""
    tokens = len(window.input_ids)
    return Example(
        window.input_ids,
        list(range(tokens)),
        [IGNORED] * tokens,
        targets,
        1.0,
        window.types,
        truncated=windows_in_all > 1,
    )


def _lists(answers: object) -> tuple[list[str], list[int]]:
    """The answers' texts and the places where they start.

    Raises:
        DataError: If they are something else.
    """
    texts, starts = (
        (answers.get("text"), answers.get("answer_start")) if isinstance(answers, Mapping) else (None, None)
    )
    if (
        isinstance(texts, list | tuple)
        and isinstance(starts, list | tuple)
        and all(isinstance(each, str) for each in texts)
        and all(type(each) is int for each in starts)
    ):
        return list(texts), list(starts)
    raise DataError(
        f"the answers are {answers!r:.200}; expected {{'text': [...], 'answer_start': [...]}} as in SQuAD: texts, and "
        "for each the number of its first character in the context.",
        reason="malformed answers",
    )
