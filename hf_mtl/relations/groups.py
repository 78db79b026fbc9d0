"""Groups of tasks that have much in common."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform

from hf_mtl.bounds import ANY_NUMBER, Bounds, bound_problems
from hf_mtl.errors import ConfigError
from hf_mtl.relations.relations import Relations

__all__ = ["groups_of"]

_ROUNDING = 1e-12  # of 1 - R, so that a relation equal to the threshold joins


def groups_of(
    relations: Relations, count: int | None = None, threshold: float | None = None
) -> dict[str, tuple[str, ...]]:
    """Put each task into one group with those that it is most related to.

    Agglomerative clustering with average linkage: each task starts as a group, and the two groups with the smallest
    mean distance `1 - R` between their tasks become one, until `count` groups are left or no two groups have a mean
    relation of at least `threshold`. Both directions of a pair are averaged first; the diagonal plays no part.
    It is greedy. Standley et al. (2020, arXiv 1905.07553) and Fifty et al. (2021, arXiv 2109.04617) search all
    divisions by the gain that they expect, in groups that may overlap.

    Args:
        relations: The relations.
        count: How many groups, from 1 to the number of tasks.
        threshold: The least mean relation of two groups that still become one.

    Returns:
        `group-1`, `group-2`, ... and their tasks, in the order of the relations; a group stands where its first task
        does. Among equal distances the earlier tasks go first, so the same relations give the same groups.

    Raises:
        ConfigError: Not exactly one of `count` and `threshold` is given, or it is out of range.

    Example:
        >>> near = Relations.given([[1, 0.9, 0.1], [0.9, 1, 0.2], [0.1, 0.2, 1]], ["mood", "stars", "topic"])
        >>> groups_of(near, count=2)
        {'group-1': ('mood', 'stars'), 'group-2': ('topic',)}
    """
    tasks = len(relations.names)
    _check(tasks, count, threshold)
    related = relations.symmetric().values
    # Distances are not negative: relations beyond 1 move the zero, which changes no order and no difference.
    most = max(1.0, float(related.max()))
    distances = most - related
    np.fill_diagonal(distances, 0.0)
    labels = [0]
    if tasks > 1:
        tree = linkage(squareform(distances, checks=False), method="average")
        if threshold is not None:
            count = tasks - int((tree[:, 2] <= most - threshold + _ROUNDING).sum())
        labels = cut_tree(tree, n_clusters=count)[:, 0].tolist()
    groups = [
        tuple(name for name, own in zip(relations.names, labels, strict=True) if own == label)
        for label in dict.fromkeys(labels)
    ]
    return {f"group-{number}": names for number, names in enumerate(groups, start=1)}


def _check(tasks: int, count: int | None, threshold: float | None) -> None:
    if (count is None) == (threshold is None):
        found = "neither" if count is None else "both"
        raise ConfigError(f"groups need either a count or a threshold, found {found}.")
    bounds = {"count": Bounds(1, tasks, whole=True, none=True), "threshold": ANY_NUMBER.or_none()}
    if problems := bound_problems(bounds, {"count": count, "threshold": threshold}):
        raise ConfigError([f"groups of {tasks} tasks: {problem}" for problem in problems])
