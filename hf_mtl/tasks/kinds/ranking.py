"""Which of a task's labels is the most likely completion, at the cost of few extra tokens.

The likelihood of a label's tokens `c_1 .. c_m` after a prompt needs the model's output after the prompt and
after the prompt followed by `c_1 .. c_i`, `i < m`. The row's own sequence (prompt and reference) already
gives those after the reference's prefixes; only the other prefixes are run, each longest one once. With
labels of one token, nothing extra is run at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from hf_mtl.data import PromptCompletion
from hf_mtl.errors import ConfigError
from hf_mtl.tasks.kinds.kind import Context

__all__ = ["Tokens", "best_label", "candidates_of", "extra_prefixes"]

Tokens = tuple[int, ...]


def candidates_of(context: Context) -> tuple[Tokens, ...]:
    """The tokens of each label's completion; none for a task without labels.

    Raises:
        ConfigError: If two labels have the same tokens, so that no ranking can tell them apart.
    """
    return context.remembered("candidates", lambda: _candidates(context))


def _candidates(context: Context) -> tuple[Tokens, ...]:
    declared = context.declared
    template = declared.template
    texts = [
        template.candidate(label) if isinstance(template, PromptCompletion) else label
        for label in declared.labels or ()
    ]
    candidates = tuple(
        tuple(context.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts
    )
    if len(set(candidates)) < len(candidates) or () in candidates:
        raise ConfigError(f"two of the labels {list(declared.labels or ())!r} become the same tokens.")
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


def best_label(candidates: Sequence[Tokens], outputs: Sequence[tuple[Tokens, Tensor]]) -> int:
    """Return the number of the candidate with the highest sum of log-probabilities over its tokens.

    Args:
        candidates: Their tokens.
        outputs: Pairs of completion tokens `c` and log-probabilities `[len(c) + 1, V]` after the prompt and
            after each beginning of `c`; together they must cover the prefixes of all candidates.
    """
    after: dict[Tokens, Tensor] = {}
    for tokens, log_probabilities_NV in outputs:
        for i in range(len(log_probabilities_NV)):
            after.setdefault(tokens[:i], log_probabilities_NV[i])
    scores = [sum(float(after[tokens[:i]][token]) for i, token in enumerate(tokens)) for tokens in candidates]
    return scores.index(max(scores))
