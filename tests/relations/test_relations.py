"""`Relations`: what they take, what they refuse, and their file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.relations import Relations

NAMES = ("mood", "stars", "topic")
TABLE = [[1.0, 0.9, -0.2], [0.9, 1.0, 0.1], [-0.2, 0.1, 1.0]]


@pytest.fixture
def three() -> Relations:
    return Relations.given(TABLE, NAMES)


def test_given_by_rows_and_by_names_is_the_same(three: Relations) -> None:
    one_sided = {"mood": {"stars": 0.9}, "topic": {"stars": 0.1, "mood": -0.2}}
    assert Relations.given(one_sided, NAMES) == three
    assert three.of("topic", "mood") == three.of("mood", "topic") == -0.2
    assert three.source == "given"


def test_given_in_one_direction_only() -> None:
    table = {"a": {"b": 0.5}, "b": {"a": 0.25}}
    made = Relations.given(table, ["a", "b"], symmetric=False)
    assert (made.of("a", "b"), made.of("b", "a")) == (0.5, 0.25)
    assert made.symmetric().values.tolist() == [[1, 0.375], [0.375, 1]]
    with pytest.raises(ConfigError, match="those of 'a' and 'b' differ"):
        Relations.given(table, ["a", "b"])
    with pytest.raises(ConfigError, match="missing: 'b' and 'a'"):
        Relations.given({"a": {"b": 0.5}}, ["a", "b"], symmetric=False)


def test_subset_keeps_the_asked_order(three: Relations) -> None:
    part = three.subset(["topic", "mood"])
    assert part.names == ("topic", "mood")
    assert part.values.tolist() == [[1.0, -0.2], [-0.2, 1.0]]


def test_non_negative_changes_only_what_is_below_zero(three: Relations) -> None:
    clamped = three.non_negative()
    assert clamped.of("mood", "topic") == 0.0
    assert clamped.of("mood", "stars") == 0.9
    assert three.of("mood", "topic") == -0.2


def test_values_are_a_copy_that_stays(three: Relations) -> None:
    mine = np.eye(2)
    made = Relations(("a", "b"), mine, "given")
    mine[0, 1] = 7
    assert made.of("a", "b") == 0.0
    with pytest.raises(ValueError, match="read-only"):
        made.values[0, 1] = 7


@pytest.mark.parametrize(
    ("table", "names", "problems"),
    [
        ([[1, 0], [0, 1]], ("a", "b", "c"), ["3 rows of 3 numbers each", "found 2 rows of the lengths [2, 2]"]),
        ([[1, 0], [0]], ("a", "b"), ["2 rows of the lengths [2, 1]"]),
        ([[1, float("nan")], [float("nan"), 1]], ("a", "b"), ["finite numbers; those of 'a' and 'b', 'b' and 'a'"]),
        ([[1, 0.5], [0.4, 1]], ("a", "b"), ["the same in both directions; those of 'a' and 'b' differ"]),
        ([[1, "much"], [0, 1]], ("a", "b"), ["the relation of 'a' to 'b' must be a number, found 'much'"]),
        ([[1, 0], [0, 1]], ("a", "a"), ["each task's name once; found more than once: 'a'"]),
        ([], (), ["at least one task, found none"]),
        (
            {"mod": {"stars": 0.5}},
            ("mood", "stars"),
            ["relations name 'mod', which is no task. Did you mean 'mood'?", "missing: 'mood' and 'stars'. Write 0"],
        ),
        (
            {"mood": {"stars": float("inf"), "topics": 1}},
            NAMES,
            ["'topics', which is no task", "missing: 'mood' and 'topic', 'stars' and 'topic'", "finite numbers"],
        ),
    ],
)  # fmt: skip
def test_all_mistakes_are_told_at_once(
    table: Mapping[str, Mapping[str, float]] | Sequence[Sequence[float]],
    names: Sequence[str],
    problems: Sequence[str],
) -> None:
    with pytest.raises(ConfigError) as caught:
        Relations.given(table, names)
    for problem in problems:
        assert problem in str(caught.value)


def test_unknown_names_and_sources(three: Relations) -> None:
    with pytest.raises(
        ConfigError, match="a task 'star'. Did you mean 'stars'\\? Tasks: 'mood', 'stars', 'topic'"
    ):
        three.of("mood", "star")
    with pytest.raises(ConfigError, match="a task 'x'"):
        three.subset(["x"])
    with pytest.raises(ConfigError, match="Did you mean 'learned'"):
        Relations(("a",), np.ones((1, 1)), "learnt")  # type: ignore[arg-type]  # the mistake under test


def test_file_gives_back_the_bits(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 3)) * 10.0 ** np.arange(-8, 1).reshape(3, 3)
    first = Relations(("a", 'quote"d', "ünicode"), values, "learned", ("a note",))
    first.save(tmp_path / "one.json")
    again = Relations.load(tmp_path / "one.json")
    assert again == first
    again.save(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 2}, "format_version 1, found 2. A newer hf_mtl wrote it"),
        ({"format_version": None}, "found None"),
        ({"values": [[1.0]]}, "a square of 2 x 2 numbers, found the shape [1, 1]"),
        ({"values": [[1.0, 0.0], [0.0]]}, "does not hold relations of tasks as hf_mtl writes them"),
        ({"source": "dreamt"}, "source: expected '"),
        ({"more": 1}, "more: there is no such key"),
    ],
)
def test_bad_files(tmp_path: Path, change: Mapping[str, object], message: str) -> None:
    path = tmp_path / "relations.json"
    Relations.given([[1, 0], [0, 1]], ["a", "b"]).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError) as caught:
        Relations.load(path)
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot be read"):
        Relations.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("relations")
    with pytest.raises(CheckpointError, match="cannot be read"):
        Relations.load(tmp_path / "text.json")
