"""Answers as spans of a context, in the form that `transformers`' question answering gives.

A span's score is the product of the probabilities of its first and its last token, each among the tokens of its
window's context and the place that says that there is no answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_mtl.tasks.kinds.windows import Window

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["spans_of"]

Answer = dict[str, Any]  # Any: texts and numbers
_Borders = tuple[int, int]  # an answer's first character, and the one behind it


def spans_of(
    body: str,
    windows: Sequence[Window],
    logits: Sequence[Tensor],
    nulls: Sequence[int],
    options: Mapping[str, Any],  # Any: those of the kind
    *,
    null_threshold: float,
) -> list[Answer]:
    """The best answers of a context over all its windows.

    Spans that are one answer once they are widened to whole words add up within a window; of several windows, the
    surest one counts.

    Args:
        body: The context.
        windows: Its windows.
        logits: Of each window, `[S, 2]`.
        nulls: In each window, the place that says that there is no answer.
        options: `top_k`; `max_answer_len` in tokens; `align_to_words`; `handle_impossible_answer`, whether "no answer"
            (an empty text, the surest window's) is among the answers.
        null_threshold: How much likelier (in logits) "no answer" must be to come before an answer.

    Returns:
        `score`, `start`, `end` and `answer`, the best one first.
    """
    scores: dict[_Borders, float] = {}
    null = math.inf
    for window, own, place in zip(windows, logits, nulls, strict=True):
        probabilities_S2 = _probabilities(window, own, place)
        null = min(null, float(probabilities_S2[place].prod()))
        within: dict[_Borders, float] = {}
        for borders, score in _best(window, probabilities_S2, options):
            within[borders] = within.get(borders, 0.0) + score
        for borders, score in within.items():
            scores[borders] = max(score, scores.get(borders, 0.0))
    answers: list[Answer] = [
        {"score": score, "start": start, "end": end, "answer": body[start:end]}
        for (start, end), score in scores.items()
    ]
    ranks: list[float] = [own["score"] for own in answers]
    if options["handle_impossible_answer"]:
        answers.append({"score": null, "start": 0, "end": 0, "answer": ""})
        ranks.append(null * math.exp(-null_threshold))
    order = sorted(range(len(answers)), key=lambda i: -ranks[i])
    best = [answers[i] for i in order[: options["top_k"]]]
    return best or [{"score": 0.0, "start": 0, "end": 0, "answer": ""}]


def _probabilities(window: Window, logits_S2: Tensor, null: int) -> Tensor:
    """Of each token to be the first and the last one, `[S, 2]`; 0 for what is neither context nor "no answer"."""
    import torch

    possible = torch.tensor([start >= 0 for start, _ in window.offsets])
    possible[null] = True
    return logits_S2.double().masked_fill(~possible[:, None], -math.inf).softmax(0)


def _best(
    window: Window,
    probabilities_S2: Tensor,
    options: Mapping[str, Any],  # Any: those of the kind
) -> Iterator[tuple[_Borders, float]]:
    """Characters and score of a window's likeliest spans."""
    import torch

    inside = torch.tensor([start >= 0 for start, _ in window.offsets])
    first_S, last_S = (probabilities_S2 * inside[:, None]).unbind(-1)
    spans_SS = torch.outer(first_S, last_S).triu().tril(options["max_answer_len"] - 1)
    aligned, top_k = options["align_to_words"], options["top_k"]
    # Several spans may be one answer once they are aligned, so more of them are looked at.
    count = min(2 * top_k + 10 if aligned else top_k, spans_SS.numel())
    scores, places = spans_SS.flatten().topk(count)
    for score, place in zip(scores.tolist(), places.tolist(), strict=True):
        first, last = divmod(place, len(window.offsets))
        if inside[first] and inside[last] and score > 0:
            start, end = window.offsets[first][0], window.offsets[last][1]
            if aligned:
                start, end = _word(window, first)[0], _word(window, last)[1]
            yield (start, end), score


def _word(window: Window, place: int) -> _Borders:
    """The characters of the word that a token of the context belongs to."""
    number = window.words[place]
    own = [
        span
        for span, word in zip(window.offsets, window.words, strict=True)
        if span[0] >= 0 and word == number and number is not None
    ]
    return (own[0][0], own[-1][1]) if own else window.offsets[place]
