"""Groups of related tasks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

from hf_mtl.errors import ConfigError
from hf_mtl.relations import Relations, groups_of

FOUR = Relations.given(
    [[1, 0.1, 0.9, 0.2], [0.1, 1, 0.3, 0.8], [0.9, 0.3, 1, 0.0], [0.2, 0.8, 0.0, 1]],
    ["a", "b", "c", "d"],
)


def invented(seed: int, tasks: int) -> Relations:
    """Relations between -1 and 1, other in both directions."""
    values = np.random.default_rng(seed).uniform(-1, 1, size=(tasks, tasks))
    return Relations(tuple(f"t{number}" for number in range(tasks)), values, "given")


def test_by_hand() -> None:
    assert groups_of(FOUR, count=2) == {"group-1": ("a", "c"), "group-2": ("b", "d")}
    assert groups_of(FOUR, count=3) == {"group-1": ("a", "c"), "group-2": ("b",), "group-3": ("d",)}
    assert groups_of(FOUR, count=1) == {"group-1": ("a", "b", "c", "d")}
    assert list(groups_of(FOUR, count=4).values()) == [("a",), ("b",), ("c",), ("d",)]


def test_threshold_is_the_least_mean_relation_that_joins() -> None:
    # Between the two pairs the mean relation is (0.1 + 0.2 + 0.3 + 0.0) / 4 = 0.15.
    sizes = {0.91: 4, 0.9: 3, 0.81: 3, 0.8: 2, 0.16: 2, 0.15: 1, -2.0: 1}
    assert {threshold: len(groups_of(FOUR, threshold=threshold)) for threshold in sizes} == sizes


@pytest.mark.parametrize("seed", range(5))
def test_every_count_is_met_and_is_scikit_learns(seed: int) -> None:
    relations = invented(seed, tasks=9)
    for count in range(1, 10):
        groups = groups_of(relations, count=count)
        assert len(groups) == count
        assert sorted(name for own in groups.values() for name in own) == list(relations.names)
        distances = 1 - relations.symmetric().values
        np.fill_diagonal(distances, 0)
        other = AgglomerativeClustering(count, metric="precomputed", linkage="average").fit_predict(distances)
        theirs = {tuple(np.array(relations.names)[other == label].tolist()) for label in set(other)}
        assert set(groups.values()) == theirs


def test_ties_give_the_asked_count_and_the_same_groups() -> None:
    even = Relations(tuple("abcdef"), np.full((6, 6), 0.5), "given")
    for count in range(1, 7):
        groups = groups_of(even, count=count)
        assert len(groups) == count and groups == groups_of(even, count=count)
    assert len(groups_of(even, threshold=0.5)) == 1
    assert len(groups_of(even, threshold=0.6)) == 6


def test_diagonal_and_direction_play_no_part() -> None:
    values = FOUR.values.copy()
    np.fill_diagonal(values, 0.0)
    values[0, 2], values[2, 0] = 1.0, 0.8
    assert groups_of(Relations(FOUR.names, values, "learned"), count=2) == groups_of(FOUR, count=2)


def test_relations_beyond_one() -> None:
    large = Relations.given({"a": {"b": 7, "c": 0}, "b": {"c": 3}}, ["a", "b", "c"])
    assert groups_of(large, count=2) == {"group-1": ("a", "b"), "group-2": ("c",)}
    assert len(groups_of(large, threshold=1.5)) == 1  # the mean of 0 and 3


def test_one_task() -> None:
    one = Relations.given([[1]], ["alone"])
    assert groups_of(one, count=1) == groups_of(one, threshold=0.5) == {"group-1": ("alone",)}


@pytest.mark.parametrize(
    ("count", "threshold", "message"),
    [
        (None, None, "either a count or a threshold, found neither"),
        (2, 0.5, "found both"),
        (0, None, "groups of 4 tasks: count: expected a whole number from 1 to 4, or None, found 0"),
        (5, None, "from 1 to 4, or None, found 5"),
        (None, float("nan"), "threshold: expected a finite number, or None, found nan"),
    ],
)
def test_bad_wishes(count: int | None, threshold: float | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        groups_of(FOUR, count, threshold)
    assert message in str(caught.value)
