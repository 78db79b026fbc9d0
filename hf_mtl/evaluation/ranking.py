"""Which of a task's labels is the most likely completion, at the cost of few extra tokens.

The likelihood of a label's tokens `c_1 .. c_m` after a prompt needs the model's output after the prompt and
after the prompt followed by `c_1 .. c_i`, `i < m`. The row's own sequence (prompt and reference) already
gives those after the reference's prefixes; only the other prefixes are run, each longest one once. With
labels of one token, nothing extra is run at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

__all__ = ["best_label", "extra_prefixes"]

Tokens = tuple[int, ...]


def _prefixes(candidates: Mapping[str, Tokens]) -> set[Tokens]:
    """All proper beginnings of the candidates: after each of them an output is needed."""
    return {tokens[:i] for tokens in candidates.values() for i in range(len(tokens))}


def extra_prefixes(candidates: Mapping[str, Tokens], reference: Tokens) -> list[Tokens]:
    """The token prefixes that must be run besides `prompt + reference`.

    >>> extra_prefixes({"yes": (1,), "no": (2,)}, reference=(1, 0))
    []
    >>> extra_prefixes({"very good": (1, 2), "good": (2,), "not so good": (3, 4, 2)}, reference=(2, 0))
    [(1,), (3, 4)]
    """
    needed = sorted(prefix for prefix in _prefixes(candidates) if prefix != reference[: len(prefix)])
    return [p for p in needed if not any(other != p and other[: len(p)] == p for other in needed)]


def best_label(candidates: Mapping[str, Tokens], outputs: Sequence[tuple[Tokens, Tensor]]) -> str:
    """Return the candidate with the highest sum of log-probabilities over its tokens.

    Args:
        candidates: Tokens by completion text.
        outputs: Pairs of completion tokens `c` and log-probabilities `[len(c) + 1, V]` after the prompt and
            after each beginning of `c`; together they must cover the prefixes of all candidates.
    """
    after: dict[Tokens, Tensor] = {}
    for tokens, log_probabilities_NV in outputs:
        for i in range(len(log_probabilities_NV)):
            after.setdefault(tokens[:i], log_probabilities_NV[i])
    scores = {
        text: sum(float(after[tokens[:i]][token]) for i, token in enumerate(tokens))
        for text, tokens in candidates.items()
    }
    return max(scores, key=scores.__getitem__)
