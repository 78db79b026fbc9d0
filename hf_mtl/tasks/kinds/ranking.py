"""Which of a task's labels is the most likely completion, at the cost of few extra tokens.

The likelihood of a label's tokens `c_1 .. c_m` after a prompt needs the model's output after the prompt and
after the prompt followed by `c_1 .. c_i`, `i < m`. The row's own sequence (prompt and reference) already
gives those after the reference's prefixes; only the other prefixes are run, each longest one once. With
labels of one token, nothing extra is run at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_mtl.data import (
    BEYOND_VOCABULARY,
    IGNORED,
    Example,
    PromptCompletion,
    Row,
    TextPair,
    render,
    unknown_token,
)
from hf_mtl.errors import ConfigError, DataError, did_you_mean
from hf_mtl.tasks.kinds.kind import Context
from hf_mtl.tasks.kinds.writing import row_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from hf_mtl.data import Sequence as TokenSequence

__all__ = [
    "Tokens",
    "candidates_of",
    "check_completion",
    "completions_of",
    "extra_prefixes",
    "label_likelihoods",
    "likelihoods",
]

Tokens = tuple[int, ...]


def candidates_of(context: Context) -> tuple[Tokens, ...]:
    """The tokens of each label's completion; none for a task without labels.

    Raises:
        ConfigError: If two labels have the same tokens, so that no ranking can tell them apart.
    """
    return context.remembered("candidates", lambda: _candidates(context))


def check_completion(row: Row, example: Example, context: Context) -> None:
    """Refuse a row whose completion is not that of a label.

    Args:
        row: The row.
        example: Its tokens.
        context: The task on its base, with labels.

    Raises:
        DataError: If it is not, or if it has other tokens behind this prompt than behind others.
    """
    if tuple(example.label_ids[:-1]) in candidates_of(context):
        return
    rendered = render(context.declared.template, row)
    text = rendered.completion if isinstance(rendered, TextPair) else ""
    texts = completions_of(context)
    if text not in texts:
        raise DataError(
            f"the completion {text!r} is not one of the labels' completions {texts!r}.{did_you_mean(text, texts)}",
            reason="unknown label",
        )
    if example.truncated:
        raise DataError(
            f"the completion {text!r} was cut off at max_length={context.declared.max_length}.",
            reason="over-long prompt",
        )
    raise DataError(
        f"the completion {text!r} has other tokens behind this prompt than behind others. Begin completions with a "
        f"space or a line break, and end prompts with none.",
        reason="label of other tokens",
    )


def completions_of(context: Context) -> list[str]:
    """Each label's completion."""
    template, labels = context.declared.template, context.declared.labels or ()
    return [template.candidate(each) if isinstance(template, PromptCompletion) else each for each in labels]


def _candidates(context: Context) -> tuple[Tokens, ...]:
    declared = context.declared
    if not declared.labels:
        return ()
    template, texts = declared.template, completions_of(context)
    ending = template.prompt_ending() if isinstance(template, PromptCompletion) else "a"
    tokens = row_tokens(context)
    encoded = [tokens.pair(TextPair(ending, text)) for text in texts if text]
    for label, own in zip(declared.labels, encoded, strict=False):
        if problem := unknown_token(own.input_ids, context.vocabulary, context.tokenizer):
            raise ConfigError(f"the label {label!r} {problem}. {BEYOND_VOCABULARY}")
    candidates = tuple(tuple(label for label in own.labels if label != IGNORED)[:-1] for own in encoded)
    if len(set(candidates)) < len(texts):
        raise ConfigError(f"two of the labels {list(declared.labels)!r} become the same tokens, or one none.")
    return candidates


def extra_prefixes(candidates: Sequence[Tokens], reference: Tokens) -> list[Tokens]:
    """The token prefixes that must be run besides `prompt + reference`.

    >>> extra_prefixes([(1,), (2,)], reference=(1, 0))
    []
    >>> extra_prefixes([(1, 2), (2,), (3, 4, 2)], reference=(2, 0))
    [(1,), (3, 4)]
    """
    # All proper beginnings of the candidates: after each of them an output is needed.
    beginnings = {tokens[:i] for tokens in candidates for i in range(len(tokens))}
    needed = sorted(prefix for prefix in beginnings if prefix != reference[: len(prefix)])
    return [p for p in needed if not any(other != p and other[: len(p)] == p for other in needed)]


def likelihoods(candidates: Sequence[Tokens], outputs: Sequence[tuple[Tokens, Tensor]]) -> list[float]:
    """Of each candidate, the sum of the log-probabilities of its tokens.

    Args:
        candidates: Their tokens.
        outputs: Pairs of completion tokens `c` and log-probabilities `[len(c) + 1, V]` after the prompt and
            after each beginning of `c`; together they must cover the prefixes of all candidates.
    """
    after: dict[Tokens, Tensor] = {}
    for tokens, log_probabilities_NV in outputs:
        for i in range(len(log_probabilities_NV)):
            after.setdefault(tokens[:i], log_probabilities_NV[i])
    return [sum(float(after[tokens[:i]][token]) for i, token in enumerate(tokens)) for tokens in candidates]


def label_likelihoods(
    asked: Sequence[TokenSequence], logits: Sequence[Tensor], context: Context
) -> list[float]:
    """The log-likelihood of each label's completion.

    Args:
        asked: A row's own sequence, and behind it those that ranking takes besides.
        logits: Of each, `[N, V]`.
        context: The task on its base.
    """
    own = tuple(asked[0].label_ids)
    ends: list[Tokens] = [own, *(tuple(each.label_ids[:-1]) for each in asked[1:])]
    log_probabilities = [each.float().log_softmax(-1) for each in logits]
    return likelihoods(candidates_of(context), list(zip(ends, log_probabilities, strict=True)))
