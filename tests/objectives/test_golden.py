"""Values by hand, by the paper's closed form, or by TorchJD itself, for each objective."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from rounds_of import BY_TASK, NAMES, made, one_round, ours_and_theirs, random_round, random_rows
from torch import Tensor
from torchjd import aggregation, scalarization

from hf_mtl.objectives import Objective, objective_of

UNITS = torch.eye(2, dtype=torch.float64)  # with them the update is the weights


def weights_of(objective: Objective, losses: list[float], *, number: int = 0) -> list[float]:
    rows = torch.eye(len(losses), dtype=torch.float64)
    return objective.update(one_round(rows, losses, number=number)).gradient.tolist()


def combined(name: str, rows: object, **options: object) -> list[float]:
    objective = objective_of({"name": name, **options})
    return objective.update(one_round(torch.tensor(rows))).gradient.tolist()


def test_equal_is_the_sum() -> None:
    assert combined("equal", [[1.0, 2.0], [3.0, -5.0]]) == [4.0, -3.0]


def test_static_weights_have_the_sum_of_equal_ones() -> None:
    objective = objective_of({"name": "static", "weights": {"verbs": 3.0, "words": 1.0}})
    assert weights_of(objective, [1.0, 1.0]) == [1.5, 0.5]
    assert weights_of(objective, [1.0, 1.0, 1.0]) == pytest.approx(
        [9 / 5, 3 / 5, 3 / 5]
    )  # the third counts 1


def test_uncertainty() -> None:
    objective = objective_of({"name": "uncertainty", "learning_rate": 0.1, "epsilon": 0.5})
    assert weights_of(objective, [2.0, 0.1]) == [1.0, 1.0]
    # Slopes 1 - 2.5 and 1 - 0.6: Adam's first step is its rate, up for the large loss and down for the small one.
    assert weights_of(objective, [2.0, 0.1]) == pytest.approx([math.exp(-0.1), math.exp(0.1)], rel=1e-6)
    for _ in range(2000):
        last = weights_of(objective, [2.0, 0.0])
    assert last == pytest.approx([1 / 2.5, 1 / 0.5], rel=1e-3)  # the optimum, 1 / (L + epsilon)


def test_dwa() -> None:
    objective = objective_of({"name": "dwa", "temperature": 2.0, "window": 2})
    for losses in ([1.0, 4.0], [3.0, 4.0], [1.0, 1.0]):  # means of the first windows: 2 and 4
        assert weights_of(objective, losses) == [1.0, 1.0]
    assert weights_of(objective, [1.0, 1.0]) == [1.0, 1.0]  # of the second windows, known after this: 1 and 1
    slow, fast = math.exp(0.5 / 2), math.exp(0.25 / 2)
    expected = [2 * slow / (slow + fast), 2 * fast / (slow + fast)]
    assert weights_of(objective, [9.0, 9.0]) == pytest.approx(expected)


def test_dwa_is_torchjds() -> None:
    ours, theirs = objective_of({"name": "dwa", "window": 1}), objective_of("torchjd:dwa")
    for number in range(5):
        gradients = random_round(3, number)
        expected = theirs.update(gradients).gradient.tolist()
        assert ours.update(gradients).gradient.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_random_weights_have_the_right_distribution() -> None:
    objective = objective_of("random", seed=7)
    drawn = [weights_of(objective, [1.0, 1.0], number=number) for number in range(2000)]
    assert all(sum(own) == pytest.approx(2) for own in drawn)
    logs = torch.tensor([math.log(one / other) for one, other in drawn])
    # The difference of two normal numbers: mean 0, variance 2.
    assert float(logs.mean()) == pytest.approx(0, abs=0.12)
    assert float(logs.var()) == pytest.approx(2, rel=0.12)


def test_random_weights_of_a_task_do_not_depend_on_the_others() -> None:
    objective = objective_of("random", seed=7)
    two = objective.update(one_round(UNITS)).gradient
    three = objective.update(one_round(torch.eye(3), number=0)).gradient
    assert float(two[0] / two[1]) == pytest.approx(float(three[0] / three[1]), rel=1e-12)


def test_geometric_mean() -> None:
    losses = torch.tensor([4.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(losses.prod() ** (1 / 3), losses)
    assert weights_of(objective_of("geometric_mean"), [4.0, 1.0, 2.0]) == pytest.approx((3 * slopes).tolist())
    assert weights_of(objective_of("torchjd:geometric_mean"), [4.0, 1.0, 2.0]) == pytest.approx(
        slopes.tolist()
    )
    assert weights_of(objective_of("geometric_mean"), [1.0, 0.0]) == pytest.approx(
        [0.01, 100.0]
    )  # epsilon 1e-4


def test_gradnorm() -> None:
    objective = objective_of({"name": "gradnorm", "alpha": 1.0, "learning_rate": 0.1})
    rows = [[3.0, 0.0], [0.0, 2.0]]
    first = objective.update(one_round(rows, [1.0, 1.0]))
    assert first.weights == {"verbs": 1.0, "words": 1.0}
    # Lengths 3 and 2, mean 2.5, rates 1 and 1: the first is too long, the second too short.
    second = objective.update(one_round(rows, [1.0, 0.2], number=1))
    assert list(second.weights.values()) == pytest.approx([0.9, 1.1])
    # Lengths 2.7 and 2.2, mean 2.45. Ratios 1 and 0.2, rates 5/3 and 1/3: targets 4.08 and 0.82, so now the first is
    # too short and the second too long. Slopes -3 and 2 after 3 and -2: Adam's means are 0.1 * (0.9 * 3 - 3) = -0.03
    # and 0.02, over 1 - 0.9**2 = 0.19; the roots of the squares are 3 and 2.
    step = 0.1 * 0.03 / 0.19 / 3
    third = objective.update(one_round(rows, [1.0, 0.2], number=2))
    after = [0.9 + step, 1.1 - step]
    assert list(third.weights.values()) == pytest.approx([2 * own / sum(after) for own in after], rel=1e-6)


@pytest.mark.parametrize(("alpha", "is_long"), [(0.189, True), (0.191, False)])
def test_gradnorm_pulls_slow_tasks_along(alpha: float, is_long: bool) -> None:
    objective = objective_of({"name": "gradnorm", "alpha": alpha, "learning_rate": 0.1})
    rows = [[2.7, 0.0], [0.0, 2.2]]
    assert objective.update(one_round(rows, [1.0, 1.0])).weights == {"verbs": 1.0, "words": 1.0}
    before = objective.update(one_round([[3.0, 0.0], [0.0, 2.0]], [1.0, 0.2], number=1)).weights
    assert list(before.values()) == pytest.approx([0.9, 1.1])
    # As above: the first has 2.7 of a mean of 2.45, and the rate 5/3, whose power 0.1902 is their ratio. The second, at
    # a rate of 1/3, is too long either way.
    slopes = [2.7, -2.2], [3.0 if is_long else -3.0, 2.0]
    means = [0.1 * (0.9 * one + other) / 0.19 for one, other in zip(*slopes, strict=True)]
    squares = [
        0.001 * (0.999 * one**2 + other**2) / (1 - 0.999**2) for one, other in zip(*slopes, strict=True)
    ]
    after = [
        weight - 0.1 * mean / square**0.5
        for weight, mean, square in zip([0.9, 1.1], means, squares, strict=True)
    ]
    expected = [2 * own / sum(after) for own in after]
    weights = objective.update(one_round(rows, [1.0, 0.2], number=2)).weights
    assert list(weights.values()) == pytest.approx(expected, rel=1e-6)


def test_gradient_norm_lets_a_task_come_back() -> None:
    objective = objective_of("gradient_norm")
    objective.update(one_round([[0.0, 0.0], [0.0, 3.0]]))
    for _ in range(5):
        last = objective.update(one_round([[30.0, 0.0], [0.0, 1.0]])).weights
    assert last["verbs"] > last["words"]


def test_gradient_norm() -> None:
    objective = objective_of("gradient_norm")
    rows = [[1.0, 0.0], [0.0, 3.0]]
    assert objective.update(one_round(rows)).weights == {"verbs": 0.5, "words": 1.5}
    # 0.5 * 1 and 1.5 * 3 over 4, scaled to the sum 2.
    assert objective.update(one_round(rows)).weights == pytest.approx({"verbs": 0.2, "words": 1.8})


def test_relation_product() -> None:
    relations = {"verbs": {"words": 2.0, "verbs": 0.5}, "words": {"verbs": 1.0}, "stars": {"words": 3.0}}
    weights = {"verbs": 2.0, "stars": 0.5}
    matrix = torch.tensor([[0.5, 2.0, 0.0], [1.0, 0.0, 0.0], [0.0, 3.0, 0.0]], dtype=torch.float64)
    losses = torch.tensor([0.3, 1.2, 2.0], dtype=torch.float64, requires_grad=True)
    weighted = losses * torch.tensor([2.0, 1.0, 0.5])
    (slopes,) = torch.autograd.grad(weighted @ matrix @ weighted, losses)
    relations["words"]["stars"] = -4.0  # counts as 0
    objective = objective_of({"name": "relation_product", "relations": relations, "weights": weights})
    assert weights_of(objective, [0.3, 1.2, 2.0]) == pytest.approx(slopes.tolist())
    assert weights_of(objective_of("relation_product"), [1.0, 2.0]) == [6.0, 6.0]  # of (L1 + L2)**2


def test_pcgrad_of_two_is_torchjds() -> None:
    for seed in range(5):
        rows = random_rows(2, seed)
        rows[1] -= 2 * rows[0]
        expected = aggregation.PCGrad()(rows).tolist()
        assert made("pcgrad").update(one_round(rows)).gradient.tolist() == pytest.approx(expected, rel=1e-12)


def projected(rows: Tensor, orders: tuple[tuple[int, ...], ...]) -> Tensor:
    """The paper's algorithm, on the gradients themselves."""
    total = torch.zeros_like(rows[0])
    for task, order in enumerate(orders):
        own = rows[task].clone()
        for other in order:
            if own @ rows[other] < 0:
                own -= own @ rows[other] / (rows[other] @ rows[other]) * rows[other]
        total += own
    return total


def test_pcgrad_of_three_takes_all_orders() -> None:
    rows = torch.tensor([[2.0, 0.0, 1.0], [-1.0, 1.5, -1.0], [-0.5, -2.0, 0.7]], dtype=torch.float64)
    others = [list(itertools.permutations({0, 1, 2} - {task})) for task in range(3)]
    of_all_orders = [projected(rows, orders) for orders in itertools.product(*others)]
    found = [made("pcgrad").update(one_round(rows, number=number)).gradient for number in range(100)]
    matches = [
        next(i for i, own in enumerate(of_all_orders) if torch.allclose(one, own, rtol=1e-12))
        for one in found
    ]
    distinct = {tuple(own.tolist()) for own in of_all_orders}
    assert len({tuple(of_all_orders[i].tolist()) for i in matches}) == len(distinct) > 1


def test_pcgrad_per_block_is_pcgrad_of_each_block() -> None:
    rows = random_rows(3, 2, parameters=7)
    whole = (
        objective_of({"name": "pcgrad", "per_block": True}).update(one_round(rows, blocks=(2, 4, 1))).gradient
    )
    parts = [made("pcgrad").update(one_round(part)).gradient for part in rows.split([2, 4, 1], dim=1)]
    assert torch.allclose(whole, torch.cat(parts), rtol=1e-12)
    assert not torch.allclose(whole, made("pcgrad").update(one_round(rows, blocks=(2, 4, 1))).gradient)


# TorchJD's, on the scale of a sum. Two orthogonal gradients of lengths 1 and 2 where nothing else is said.
ORTHOGONAL = [[1.0, 0.0], [0.0, 2.0]]
CONFLICT = [[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]  # the example of TorchJD's documentation
AGGREGATORS: dict[str, tuple[Any, dict[str, Any], list[float]]] = {
    "aligned_mtl": (ORTHOGONAL, {}, [1.0, 1.0]),  # as short as the shortest
    "cagrad": (ORTHOGONAL, {"c": 0.0}, [1.0, 2.0]),  # with c = 0 the plain mean
    "config": (ORTHOGONAL, {}, [1.5, 1.5]),  # the same angle to both; as long as both projections together
    "dualproj": (
        [[1.0, 0.0], [-2.0, 1.0]],
        {},
        [0.0, 1.0],
    ),  # the sum (-1, 1), without what is against the first
    "excess_mtl": ([[1.0, 0.0], [0.0, 1.0]], {}, [1.0, 1.0]),
    "fairgrad": (ORTHOGONAL, {"alpha": 1.0}, [1.0, 1.0]),  # G w = 1 / w, so w = 1 and 1/2
    "graddrop": ([[1.0, -2.0], [3.0, -1.0]], {}, [4.0, -3.0]),  # no sign to choose
    "gradvac": (ORTHOGONAL, {}, [1.0, 2.0]),  # as similar as its first target says
    "imtl_g": (ORTHOGONAL, {}, [4 / 3, 4 / 3]),  # weights 2/3 and 1/3: equal projections
    "krum": ([[1.0, 0.0], [1.1, 0.0], [0.9, 0.0], [9.0, 9.0]], {"n_byzantine": 0}, [4.0, 0.0]),
    "mgda": (ORTHOGONAL, {}, [1.6, 0.8]),  # weights 4/5 and 1/5: the shortest combination
    "nash_mtl": ([[1.0, 0.0], [0.0, 1.0]], {}, [0.5**0.5, 0.5**0.5]),  # no longer than max_norm
    "pcd": (ORTHOGONAL, {"tau": 0.0}, [1.0, 0.0]),  # the first is the primary one
    "pcgrad": ([[2.0, 0.0], [-1.0, 1.0]], {}, [1.0, 2.0]),
    "trimmed_mean": ([[1.0], [2.0], [9.0]], {"trim_number": 1}, [6.0]),
    "upgrad": (CONFLICT, {}, [2 * 0.2929, 2 * 1.9004, 2 * 1.9004]),
}
HALF = {**BY_TASK, "verbs": 0.5}
SOFT = math.exp(1.0) / (math.exp(1.0) + math.exp(2.0))
SCALARIZERS: dict[str, tuple[dict[str, Any], list[float]]] = {  # at the losses 2 and 4
    "constant": ({"weights": HALF}, [0.5, 1.0]),
    "cosmos": ({"lambda_": 0.0, "weights": HALF}, [0.5, 1.0]),
    "dwa": ({}, [1.0, 1.0]),
    "famo": ({}, [4 / 3, 2 / 3]),  # 1 / L, with the sum 2
    "geometric_mean": ({}, [2**0.5 / 2, 2**-0.5 / 2]),
    "imtl_l": ({}, [1.0, 1.0]),
    "mean": ({}, [1.0, 1.0]),
    "pbi": ({"theta": 0.0, "weights": HALF}, [0.5 / 1.25**0.5, 1 / 1.25**0.5]),
    "stch": ({"mu": 1.0}, [SOFT, 1 - SOFT]),  # a softmax of half the losses
    "sum": ({}, [1.0, 1.0]),
    "uw": ({}, [0.5, 0.5]),
}


@pytest.mark.parametrize("name", AGGREGATORS)
def test_aggregator_of_torchjd(name: str) -> None:
    rows, options, expected = AGGREGATORS[name]
    assert combined(f"torchjd:{name}", rows, **options) == pytest.approx(expected, rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("name", SCALARIZERS)
def test_scalarizer_of_torchjd(name: str) -> None:
    options, expected = SCALARIZERS[name]
    objective = objective_of({"name": f"torchjd:{name}", **options})
    assert weights_of(objective, [2.0, 4.0]) == pytest.approx(expected, rel=1e-6)


def test_torchjds_random_weights() -> None:
    assert sum(weights_of(objective_of("torchjd:random", seed=4), [1.0, 1.0])) == pytest.approx(2)


def test_every_objective_of_torchjd_has_a_value() -> None:
    theirs = {name.removeprefix("torchjd:") for name in ours_and_theirs() if name.startswith("torchjd:")}
    assert theirs == {*AGGREGATORS, *SCALARIZERS, "random"}


def test_learned_scales_go_down_the_slope_of_torchjds_loss() -> None:
    objective = objective_of("torchjd:imtl_l")
    for _ in range(400):
        last = weights_of(objective, [2.0, 0.5])
    assert last == pytest.approx([0.5, 2.0], rel=1e-2)  # exp(s) L = 1
    scales = torch.tensor([0.5, 2.0]).log()
    loss = scalarization.IMTLL(2)
    with torch.no_grad():
        loss.log_scale.copy_(scales)
    loss(torch.tensor([2.0, 0.5])).backward()
    assert loss.log_scale.grad is not None
    assert loss.log_scale.grad.tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


def test_famo_takes_the_next_rounds_losses_as_those_after_the_step() -> None:
    objective, theirs = objective_of("torchjd:famo"), scalarization.FAMO(2).double()
    for number, losses in enumerate([[2.0, 4.0], [1.0, 3.9], [0.8, 3.0]]):
        values = torch.tensor(losses, dtype=torch.float64)
        if number:
            theirs.update(values)
        (slopes,) = torch.autograd.grad(theirs(values.requires_grad_()), values)
        assert weights_of(objective, losses, number=number) == pytest.approx((2 * slopes).tolist(), rel=1e-12)


@pytest.mark.parametrize("name", ["gradvac", "pcd"])
def test_what_remembers_is_torchjds_over_rounds(name: str) -> None:
    theirs = {"gradvac": aggregation.GradVac, "pcd": aggregation.PCD}[name]()
    objective = objective_of(f"torchjd:{name}")
    for number in range(4):
        gradients = random_round(2, number, NAMES[:2])  # of two tasks there is one order to visit
        expected = theirs(gradients.rows).tolist()
        assert objective.update(gradients).gradient.tolist() == pytest.approx(expected, rel=1e-6)
