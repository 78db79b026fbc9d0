"""Selections: what is drawn, that it depends on the seed and on nothing else, and what is said of mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from datasets import ClassLabel, Dataset, Features, IterableDataset, Value

from hf_mtl.data import few_shot, max_examples, renamed, split_off
from hf_mtl.errors import ConfigError, DataError

FEATURES = Features({"n": Value("int32"), "label": ClassLabel(names=["even", "odd", "third"])})
ROWS = Dataset.from_dict({"n": list(range(60)), "label": [n % 3 for n in range(60)]}, features=FEATURES)
STREAM = ROWS.to_iterable_dataset()


def numbers(rows: Dataset | IterableDataset) -> list[int]:
    return [row["n"] for row in rows]


# --- max_examples -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [ROWS, STREAM], ids=["data set", "stream"])
def test_the_first_rows_keep_their_order(rows: Dataset | IterableDataset) -> None:
    assert numbers(max_examples(rows, 3)) == [0, 1, 2]
    assert numbers(max_examples(rows, 99)) == list(range(60))


def test_a_draw_is_repeatable_and_grows() -> None:
    five, eight = (numbers(max_examples(ROWS, n, seed=3)) for n in (5, 8))
    assert five == numbers(max_examples(ROWS, 5, seed=3)) == eight[:5]
    assert five != list(range(5))
    assert five != numbers(max_examples(ROWS, 5, seed=4))
    assert sorted(numbers(max_examples(ROWS, 99, seed=3))) == list(range(60))


def test_streams_are_not_drawn_from() -> None:
    with pytest.raises(ConfigError, match="cannot be drawn from a stream"):
        max_examples(STREAM, 3, seed=0)
    with pytest.raises(ConfigError, match="max_examples: n: expected a whole number above 0, found 0"):
        max_examples(ROWS, 0)


# --- few_shot ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_as_many_of_each_class(seed: int) -> None:
    drawn = few_shot(ROWS, 4, "label", seed=seed)
    assert Counter(drawn["label"]) == {0: 4, 1: 4, 2: 4}
    assert numbers(drawn) == sorted(numbers(drawn)), "the order of the rows is kept"
    assert numbers(drawn) == numbers(few_shot(ROWS, 4, "label", seed=seed))
    assert numbers(drawn) != numbers(few_shot(ROWS, 4, "label", seed=seed + 1))


def test_a_class_is_drawn_whatever_the_others_have() -> None:
    fewer = ROWS.filter(lambda row: row["label"] != 1 or row["n"] < 30)
    both = [
        few_shot(rows, 4, "label", seed=1).filter(lambda row: row["label"] == 0) for rows in (ROWS, fewer)
    ]
    assert numbers(both[0]) == numbers(both[1])


@pytest.mark.parametrize("values", [["a", "b"], [True, False], [-1, 7]])
def test_classes_without_a_class_label(values: list[object]) -> None:
    rows = Dataset.from_dict({"label": values * 5})
    assert Counter(few_shot(rows, 2, "label")["label"]) == dict.fromkeys(values, 2)


def test_a_class_with_too_few_rows_is_named() -> None:
    rows = Dataset.from_dict({"n": [0, 1, 2], "label": [0, 0, 2]}, features=FEATURES)
    with pytest.raises(
        DataError, match=r"2 rows of each class of 'label' .* fewer: odd \(0\), third \(1\)\. Take a"
    ):
        few_shot(rows, 2, "label")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([0.5, 1.0], "row 0 of 'label' is 0.5"),
        ([[1], [2]], r"row 0 of 'label' is \[1\]"),
        ([1, None], "row 1 .* is None"),
    ],
)
def test_a_column_without_classes(values: list[object], found: str) -> None:
    with pytest.raises(DataError, match=f"{found}, which is no class; expected text"):
        few_shot(Dataset.from_dict({"label": values}), 1, "label")


def test_rows_whose_class_is_not_known() -> None:
    rows = Dataset.from_dict({"n": [0, 1], "label": [0, -1]}, features=FEATURES)
    with pytest.raises(
        DataError, match="row 1 of 'label' is -1, which is no class; expected one of 3 classes"
    ):
        few_shot(rows, 1, "label")


def test_few_shot_mistakes() -> None:
    with pytest.raises(
        ConfigError, match=r"no column 'lable'; the columns are 'label', 'n'\. Did you mean 'label'\?"
    ):
        few_shot(ROWS, 1, "lable")
    with pytest.raises(ConfigError, match="few_shot: k: expected a whole number above 0, found 0"):
        few_shot(ROWS, 0, "label")
    with pytest.raises(ConfigError, match="expected a datasets.Dataset, found IterableDataset"):
        few_shot(STREAM, 1, "label")


# --- split_off --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stratify_by", [None, "label"])
def test_a_share_is_held_out(stratify_by: str | None) -> None:
    rest, part = split_off(ROWS, 0.25, seed=2, stratify_by=stratify_by)
    assert (len(rest), len(part)) == (45, 15)
    assert sorted(numbers(rest) + numbers(part)) == list(range(60))
    assert numbers(part) == sorted(numbers(part)) != list(range(15))
    assert numbers(part) == numbers(split_off(ROWS, 0.25, seed=2, stratify_by=stratify_by)[1])
    assert numbers(part) != numbers(split_off(ROWS, 0.25, seed=3, stratify_by=stratify_by)[1])
    if stratify_by:
        assert Counter(part["label"]) == {0: 5, 1: 5, 2: 5}


def test_split_off_mistakes() -> None:
    for fraction in (0, 1, 1.5, -0.1):
        with pytest.raises(ConfigError, match="fraction: expected a number above 0 and below 1"):
            split_off(ROWS, fraction)
    with pytest.raises(DataError, match=r"0\.1 of 3 rows leaves one of the two parts empty"):
        split_off(ROWS.select(range(3)), 0.1)
    with pytest.raises(ConfigError, match="no column 'kind'"):
        split_off(ROWS, 0.1, stratify_by="kind")
    with pytest.raises(ConfigError, match="found IterableDataset"):
        split_off(STREAM, 0.1)


# --- renamed ----------------------------------------------------------------------------------------------


def unknown_columns() -> IterableDataset:
    def rows() -> Iterator[dict[str, int]]:
        yield {"n": 5, "label": 1}

    return IterableDataset.from_generator(rows)


@pytest.mark.parametrize("rows", [ROWS, STREAM, unknown_columns()], ids=["data set", "stream", "generator"])
def test_columns_get_their_roles(rows: Dataset | IterableDataset) -> None:
    first = next(iter(rows))
    assert next(iter(renamed(rows, {"row": "n"}))) == {"row": first["n"], "label": first["label"]}
    exchanged = next(iter(renamed(rows, {"n": "label", "label": "n"})))
    assert exchanged == {"label": first["n"], "n": first["label"]}
    moved = next(iter(renamed(rows, {"old": "n", "n": "label"})))
    assert moved == {"old": first["n"], "n": first["label"]}
    assert renamed(rows, {"n": "n"}) is rows


@pytest.mark.parametrize("rows", [ROWS, STREAM, unknown_columns()], ids=["data set", "stream", "generator"])
def test_renamed_mistakes(rows: Dataset | IterableDataset) -> None:
    with pytest.raises(
        DataError,
        match=r"no column 'labels' for 'gold'; the columns are 'label', 'n'\. Did you mean 'label'\?",
    ):
        renamed(rows, {"gold": "labels"})
    with pytest.raises(DataError, match="the new names 'label' are those of other columns"):
        renamed(rows, {"label": "n"})
    with pytest.raises(ConfigError, match="asked for twice: 'n'"):
        renamed(rows, {"a": "n", "b": "n"})
