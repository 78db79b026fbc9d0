"""Relations from results: do two tasks do well at the same points?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from hf_mtl.errors import ConfigError, listing
from hf_mtl.relations.relations import Relations, Source

__all__ = ["pearson"]

_FEWEST = 3  # with two points every correlation is 1 or -1
_SOURCES: Mapping[str, Source] = {
    "checkpoints": "Pearson over checkpoints",
    "examples": "Pearson over examples",
}


def pearson(results: Mapping[str, Sequence[float]], over: Literal["checkpoints", "examples"]) -> Relations:
    r"""Return Pearson's correlation between the results of every two tasks.

    .. math:: r_{ab} = \frac{\sum_k (x_{ak} - \bar x_a)(x_{bk} - \bar x_b)}
                           {\lVert x_a - \bar x_a \rVert \lVert x_b - \bar x_b \rVert}

    with `x_a` the N results of task a: one per checkpoint of single-task runs (do both gain at the same time?), or one
    per example of one set of rows that every task's model answers (are the same examples hard?). It is symmetric, and
    1 on the diagonal. A correlation tells nothing about causes: curves that only rise correlate whatever they measure.
    Standley et al. (2020, arXiv 1905.07553) train pairs of tasks instead, which costs far more and measures the gain.

    Args:
        results: By task N results, in one order for all tasks; at least 3.
        over: What the N results belong to.

    Returns:
        The correlations. A task whose results are all the same has none: 0 with all others, and a note that says so.

    Raises:
        ConfigError: Too few results, unlike numbers of them, or ones that are not finite; all problems at once.

    Example:
        >>> found = pearson({"a": [1, 2, 3], "b": [2, 4, 6], "c": [3, 2, 1]}, "checkpoints")
        >>> [round(found.of("a", other), 12) for other in ("b", "c")]
        [1.0, -1.0]
    """
    if problems := list(_problems(results, over)):
        raise ConfigError(problems)
    rows = np.array([list(own) for own in results.values()], dtype=np.float64)
    # By the range and not by the deviations: the mean of equal numbers may differ from them by a rounding.
    constant = np.ptp(rows, axis=1) == 0
    scaled = rows / np.where(constant, 1.0, np.abs(rows).max(axis=1))[:, None]
    apart = np.where(constant[:, None], 0.0, scaled - scaled.mean(axis=1, keepdims=True))
    lengths = np.where(constant, 1.0, np.linalg.norm(apart, axis=1))
    directions = apart / lengths[:, None]
    values = np.clip(directions @ directions.T, -1.0, 1.0)
    np.fill_diagonal(values, 1.0)
    notes = tuple(
        f"all results of {name!r} are the same, so it correlates with no other task; its 0 is no measurement"
        for name, same in zip(results, constant, strict=True)
        if same
    )
    return Relations(tuple(results), values, _SOURCES[over], notes)


def _problems(results: Mapping[str, Sequence[float]], over: str) -> Iterable[str]:
    if over not in _SOURCES:
        yield f"results are correlated over {listing(_SOURCES)}, found {over!r}."
    if not results:
        yield "a correlation needs the results of at least one task, found none."
    lengths = {name: len(own) for name, own in results.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        yield f"every task needs as many results as the others, in the same order of {over}; {found}."
    for name, own in results.items():
        if len(own) < _FEWEST:
            yield f"task {name!r} has {len(own)} results; a correlation over {over} needs at least {_FEWEST}."
        for number, value in enumerate(own):
            if not np.isfinite(value):
                yield f"task {name!r}: its result {number} is {value}; leave out what was not measured, for all tasks."
                break
