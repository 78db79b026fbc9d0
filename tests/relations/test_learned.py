"""Relations that are learned: the closed form is where gradient descent ends."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from hf_mtl.errors import ConfigError
from hf_mtl.relations import LearnedRelations


def four(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(2, 3, dtype=torch.float64, generator=generator) for name in "abcd"}


def objective(weights: Tensor, features: Tensor, tau: float) -> Tensor:
    """The loss as its docstring writes it; `weights [T, T]` with an empty diagonal, `features [T, D]`."""
    distances = (features[:, None] - features[None]).square().sum(dim=2)
    others = weights[~torch.eye(len(weights), dtype=torch.bool)]
    entropy = -(others * others.log()).sum()
    return (weights * distances).sum() - tau * entropy


def test_by_hand() -> None:
    features = {"a": torch.tensor([0.0]), "b": torch.tensor([1.0]), "c": torch.tensor([2.0])}
    found = LearnedRelations(tau=3.0).relations(features)
    near, far = math.exp(-1 / 3), math.exp(-4 / 3)
    assert found.of("a", "b") == pytest.approx(near / (near + far), rel=1e-12)
    assert found.of("b", "a") == found.of("b", "c") == pytest.approx(0.5, rel=1e-12)
    assert found.source == "learned"


@pytest.mark.parametrize("tau", [2.0, 8.0])
def test_gradient_descent_on_the_logits_ends_there(tau: float) -> None:
    features = four()
    flat = torch.stack([own.flatten() for own in features.values()])
    diagonal = torch.eye(4, dtype=torch.bool)
    logits = torch.zeros(4, 4, dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        return objective(logits.masked_fill(diagonal, -math.inf).softmax(dim=1), flat, tau)

    optimizer = torch.optim.LBFGS([logits], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
    learned = LearnedRelations(tau)
    weights = logits.detach().masked_fill(diagonal, -math.inf).softmax(dim=1).numpy()
    assert np.allclose(weights, learned.relations(features).values, atol=1e-6)
    assert float(loss().detach()) == pytest.approx(float(learned.loss(features)), abs=1e-9)


def test_any_other_weights_lose() -> None:
    features, tau = four(), 2.0
    flat = torch.stack([own.flatten() for own in features.values()])
    least = float(LearnedRelations(tau).loss(features))
    generator = torch.Generator().manual_seed(1)
    for _ in range(50):
        logits = torch.randn(4, 4, dtype=torch.float64, generator=generator).fill_diagonal_(-math.inf)
        assert float(objective(logits.softmax(dim=1), flat, tau)) > least


def test_loss_trains_features_as_if_the_weights_were_fixed() -> None:
    features, tau = four(), 2.0
    learned = LearnedRelations(tau)
    leaves = {name: own.clone().requires_grad_() for name, own in features.items()}
    learned.loss(leaves).backward()
    flat = torch.stack([own.flatten() for own in features.values()]).requires_grad_()
    objective(torch.tensor(learned.relations(features).values), flat, tau).backward()
    assert flat.grad is not None
    for leaf, expected in zip(leaves.values(), flat.grad, strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad.flatten(), expected, rtol=1e-10, atol=1e-12)


def test_rows_are_distributions_over_the_others() -> None:
    values = LearnedRelations(tau=0.3).relations(four(3)).values
    assert np.allclose(values.sum(axis=1), 1.0, atol=1e-12)
    assert np.diagonal(values).tolist() == [0, 0, 0, 0]
    assert (values >= 0).all()


def test_small_tau_picks_the_nearest_and_large_tau_all() -> None:
    features = {"a": torch.tensor([0.0]), "b": torch.tensor([1.0]), "c": torch.tensor([9.0])}
    sharp = LearnedRelations(tau=1e-3).relations(features).values
    assert np.allclose(sharp, [[0, 1, 0], [1, 0, 0], [0, 1, 0]])
    even = LearnedRelations(tau=1e9).relations(features).values
    assert np.allclose(even, (1 - np.eye(3)) / 2, atol=1e-6)


def test_equal_features_share_evenly_and_have_a_gradient() -> None:
    features = {name: torch.ones(2, requires_grad=True) for name in "abc"}
    learned = LearnedRelations(tau=1.0)
    assert np.allclose(learned.relations(features).values, (1 - np.eye(3)) / 2)
    learned.loss(features).backward()
    assert all(own.grad is not None and bool(own.grad.eq(0).all()) for own in features.values())


def test_of_distances_is_that_of_features_in_units_of_their_mean_distance() -> None:
    features = four()
    flat = torch.stack([own.flatten() for own in features.values()])
    squares = (flat[:, None] - flat[None]).square().sum(dim=2)
    unit = (squares.sum() / 12).sqrt()
    expected = LearnedRelations(0.7).relations({name: own / unit for name, own in features.items()})
    found = LearnedRelations(0.7).of_distances("abcd", squares)
    assert np.allclose(found.values, expected.values, rtol=1e-12)
    assert np.allclose(found.values, LearnedRelations(0.7).of_distances("abcd", 1e6 * squares).values)
    same = LearnedRelations(0.7).of_distances("abc", torch.zeros(3, 3))
    assert np.allclose(same.values, (1 - np.eye(3)) / 2)
    with pytest.raises(ConfigError, match="at least two tasks, found 'a'"):
        LearnedRelations(1.0).of_distances("a", torch.zeros(1, 1))


@pytest.mark.parametrize("tau", [0.0, -1.0, math.nan, math.inf])
def test_bad_tau(tau: float) -> None:
    with pytest.raises(ConfigError, match="tau: expected a number above 0"):
        LearnedRelations(tau)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"a": torch.ones(2)}, "at least two tasks, found 'a'"),
        ({"a": torch.ones(2), "b": torch.ones(3)}, "of one shape, found 'a' [2], 'b' [3]"),
        ({"a": torch.ones(2), "b": torch.tensor([1, math.nan])}, "features of task 'b' hold numbers"),
    ],
)
def test_bad_features(features: Mapping[str, Tensor], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        LearnedRelations(1.0).relations(features)
    assert message in str(caught.value)
