"""Shown names: short enough, no two alike, and unchanged where there is room."""

from __future__ import annotations

import random

import pytest
from rich.cells import cell_len

from hf_mtl.short_names import short_names, widest

FOLDS = [f"glue/mnli-matched-fold-{number:02}" for number in range(30)]


def check(names: list[str], width: int) -> dict[str, str]:
    shown = short_names(names, width)
    assert list(shown) == list(dict.fromkeys(names))
    assert len(set(shown.values())) == len(shown)
    assert widest(shown.values()) <= width
    return shown


def test_names_that_fit_stay() -> None:
    assert list(check(FOLDS, cell_len(FOLDS[0])).values()) == FOLDS


def test_what_all_share_is_left_out_first() -> None:
    assert check(FOLDS, 12)["glue/mnli-matched-fold-07"] == "glue/mnli…07"
    assert check(FOLDS, 4)["glue/mnli-matched-fold-07"] == "…07"
    ends = check(["cola-train-v2", "sst-train-v2"], 10)
    assert list(ends.values()) == ["cola…", "sst…"]


def test_a_long_name_among_short_ones_loses_its_middle() -> None:
    assert check(["a", "the beginning and the end"], 12)["the beginning and the end"] == "the b…he end"


@pytest.mark.parametrize(
    "names",
    [
        [f"the same beginning {number} and the same long end of every one" for number in range(12)]
        + ["short"],
        [f"{'a' * 40}{one}{'b' * 40}{two}{'c' * 40}" for one in range(3) for two in range(3)],
        ["x" * 200, "x" * 201, "x" * 202],
        ["名" * 100, "名" * 101, "情感分析/电影评论/第一部分", "情感分析/电影评论/第二部分"],
        ["n…n", "n" * 50, "m" * 50],
    ],
)
@pytest.mark.parametrize("width", [8, 12, 20, 28])
def test_differences_in_the_middle_are_found(names: list[str], width: int) -> None:
    check(names, width)


def test_numbers_are_shown_from_their_first_digit() -> None:
    names = [f"natural_instructions/task{number}_questions_from_the_same_passages" for number in (1286, 1287)]
    assert "1286" in check([*names, "sst2"], 28)[names[0]]


def test_any_names() -> None:
    random_state = random.Random(0)
    for _ in range(300):
        letters = random_state.choices("ab/-é名…#1", k=random_state.randint(1, 30))
        names = [
            "".join(random_state.sample(letters, k=len(letters))) for _ in range(random_state.randint(1, 40))
        ]
        check(names, random_state.randint(6, 30))
