"""Relations that are measured: cosines of gradients, and correlations of results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from hf_mtl.errors import ConfigError
from hf_mtl.relations import CosineMeter, pearson

NAMES = ("a", "b", "c")


def gram(*rows: Sequence[float]) -> Tensor:
    own = torch.tensor(rows, dtype=torch.float64)
    return own @ own.T


def test_mean_of_two_rounds_by_hand() -> None:
    meter = CosineMeter(NAMES)
    meter.add(NAMES, gram([1, 0], [0, 2], [-3, 0]))  # cosines: ab 0, ac -1, bc 0
    meter.add(["c", "a"], gram([3, 4], [1, 0]))  # ac 0.6
    found = meter.relations()
    assert found.source == "gradient cosines" and found.notes == ()
    assert found.of("a", "b") == 0.0
    assert found.of("a", "c") == found.of("c", "a") == pytest.approx(-0.2, abs=1e-15)
    assert np.diagonal(found.values).tolist() == [1, 1, 1]


def test_length_of_gradients_plays_no_part() -> None:
    rows = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    meters = [CosineMeter(NAMES) for _ in range(2)]
    scaled = rows * torch.tensor([[1e-150], [1.0], [1e100]], dtype=torch.float64)
    for meter, own in zip(meters, (rows, scaled), strict=True):
        meter.add(NAMES, own @ own.T)
    first, second = (meter.relations().values for meter in meters)
    assert np.allclose(first, second, rtol=1e-12, atol=0)
    expected = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    assert np.allclose(first, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize("silent", [0.0, math.nan, math.inf])
def test_tasks_without_a_direction_leave_their_entries(silent: float) -> None:
    meter = CosineMeter(NAMES)
    meter.add(NAMES, gram([1, 0], [1, 1], [0, 1]))
    before = meter.relations().values
    meter.add(NAMES, gram([1, 0], [silent, silent], [1, 0]))
    after = meter.relations()
    assert after.of("a", "b") == before[0, 1] and after.of("b", "c") == before[1, 2]
    assert after.of("a", "c") == pytest.approx(0.5)  # the mean of 0 and 1: those two went on


def test_pairs_that_never_met_are_told() -> None:
    meter = CosineMeter(NAMES)
    meter.add(["a", "b"], gram([1, 0], [1, 0]))
    found = meter.relations()
    assert found.of("a", "c") == 0.0
    assert [note.split(" never")[0] for note in found.notes] == ["'a' and 'c'", "'b' and 'c'"]


def test_state_comes_back_to_the_bit_through_json() -> None:
    generator = torch.Generator().manual_seed(1)
    rounds = [torch.randn(3, 7, dtype=torch.float64, generator=generator) for _ in range(6)]
    whole, first, second = (CosineMeter(NAMES) for _ in range(3))
    for own in rounds:
        whole.add(NAMES, own @ own.T)
    for own in rounds[:3]:
        first.add(NAMES, own @ own.T)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for own in rounds[3:]:
        second.add(NAMES, own @ own.T)
    assert second.relations() == whole.relations()


def test_state_of_another_suite() -> None:
    first, second = CosineMeter(["a", "gone", "b"]), CosineMeter(["b", "new", "a"])
    first.add(["a", "gone", "b"], gram([1, 0], [0, 1], [3, 4]))
    second.add(["new", "a"], gram([1.0], [1.0]))
    second.load_state_dict(first.state_dict())
    found = second.relations()
    assert found.of("a", "b") == pytest.approx(0.6)
    assert found.of("a", "new") == 0.0 and len(found.notes) == 2


@pytest.mark.parametrize(
    ("names", "products", "message"),
    [
        (["a", "x"], gram([1], [1]), "of a task 'x'"),
        (["a", "a"], gram([1], [1]), "takes part in a round once"),
        (["a", "b"], gram([1], [1], [1]), "has the shape [2, 2], found [3, 3]"),
    ],
)
def test_bad_rounds(names: Sequence[str], products: Tensor, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CosineMeter(NAMES).add(names, products)
    assert message in str(caught.value)


def test_correlations_by_hand_and_as_numpy() -> None:
    found = pearson({"a": [1, 2, 3, 4], "b": [1, 3, 2, 4], "c": [-2, -4, -6, -8]}, "examples")
    assert found.of("a", "b") == pytest.approx(0.8)
    assert found.of("a", "c") == pytest.approx(-1.0) and found.of("a", "c") >= -1
    assert found.source == "Pearson over examples"
    rows = np.random.default_rng(0).normal(size=(4, 9))
    many = pearson(dict(zip("abcd", rows.tolist(), strict=True)), "checkpoints")
    assert np.allclose(many.values, np.corrcoef(rows), atol=1e-12)
    assert many.source == "Pearson over checkpoints"


def test_shift_and_scale_change_nothing() -> None:
    rows = np.random.default_rng(1).normal(size=(2, 8))
    plain = pearson({"a": rows[0].tolist(), "b": rows[1].tolist()}, "examples")
    moved = pearson({"a": (rows[0] * 1e200).tolist(), "b": (5 - rows[1]).tolist()}, "examples")
    assert moved.of("a", "b") == pytest.approx(-plain.of("a", "b"), abs=1e-12)


def test_constant_results_correlate_with_nothing() -> None:
    # The mean of three 0.1 is not 0.1, so deviations alone would not show that these are constant.
    found = pearson({"flat": [0.1, 0.1, 0.1], "zero": [0, 0, 0], "b": [0.1, 0.2, 0.4]}, "checkpoints")
    assert found.values.tolist() == np.eye(3).tolist()
    assert [note.split(" are")[0] for note in found.notes] == [
        "all results of 'flat'",
        "all results of 'zero'",
    ]


@pytest.mark.parametrize(
    ("results", "over", "messages"),
    [
        ({}, "examples", ["at least one task"]),
        ({"a": [1, 2, 3]}, "rows", ["over 'checkpoints', 'examples', found 'rows'"]),
        (
            {"a": [1, 2], "b": [1, 2, math.nan]},
            "checkpoints",
            ["'a' has 2, 'b' has 3", "task 'a' has 2 results; a correlation", "task 'b': its result 2 is nan"],
        ),
    ],
)  # fmt: skip
def test_bad_results(results: Mapping[str, Sequence[float]], over: str, messages: Sequence[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        pearson(results, over)  # type: ignore[arg-type]  # a mistake under test
    for message in messages:
        assert message in str(caught.value)
