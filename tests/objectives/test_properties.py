"""What holds for every objective, ours and each of TorchJD's."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from rounds_of import NAMES, made, one_round, ours_and_theirs, random_round, random_rows
from torch import Tensor

from hf_mtl.errors import CheckpointError
from hf_mtl.objectives import Objective, SharedUpdate

ALL = ours_and_theirs()

# Their sum over the tasks, or over the orders in which they visit them, is not the same for another order of the tasks.
BY_POSITION = {
    "torchjd:gradvac",  # visits by position in an order drawn at random
    "torchjd:pcd",  # the first task is the primary one
    "torchjd:pcgrad",  # as gradvac
    "torchjd:random",  # draws by position
    "torchjd:krum",  # picks the first of several that are equally near, as here
}
# The paper claims that no task's loss rises, to the first order.
NO_CONFLICT = ("torchjd:config", "torchjd:dualproj", "torchjd:mgda", "torchjd:upgrad")
FROM_THREE_TASKS = {"torchjd:krum"}  # fewer are refused, but for a task alone
# Cannot be read from TorchJD by public means, or is as large as all gradients.
NOT_RESUMABLE = {"torchjd:dwa", "torchjd:excess_mtl", "torchjd:famo", "torchjd:nash_mtl"}


def cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


@pytest.mark.parametrize("name", ALL)
def test_one_task_has_its_own_direction(name: str) -> None:
    objective = made(name)
    for number in range(3):
        gradients = random_round(1, number)
        update = objective.update(gradients)
        assert cosine(update.gradient, gradients.rows[0]) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_has_the_rows_form_and_is_no_view_of_them(name: str, dtype: torch.dtype) -> None:
    for tasks in (1, 3):
        gradients = random_round(tasks, 0)
        gradients = replace(gradients, rows=gradients.rows.to(dtype))
        update = made(name).update(gradients)
        assert update.gradient.shape == gradients.rows[0].shape
        assert update.gradient.dtype == dtype
        before = update.gradient.clone()
        gradients.rows.fill_(float("nan"))
        assert torch.equal(update.gradient, before)
        assert set(update.weights) <= set(gradients.names)
        assert not update.gradient.requires_grad


@pytest.mark.parametrize("name", sorted(set(ALL) - BY_POSITION - {"torchjd:graddrop"}))
def test_the_order_of_the_tasks_plays_no_part(name: str) -> None:
    plain, turned = made(name), made(name)
    for number in range(4):
        gradients = random_round(3, number)
        order = [2, 0, 1]
        permuted = replace(
            gradients,
            names=tuple(gradients.names[i] for i in order),
            losses=gradients.losses[order],
            rows=gradients.rows[order],
        )
        # The solvers stop at a tolerance of their own.
        assert turned.update(permuted).gradient.tolist() == pytest.approx(
            plain.update(gradients).gradient.tolist(), rel=1e-4, abs=1e-5
        )


DEGENERATE = {
    "zero": torch.zeros(3, 4),
    "one of three zero": torch.tensor([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]]),
    "opposite": torch.tensor([[1.0, 2.0, 0.0, 1.0], [-1.0, -2.0, 0.0, -1.0]]),
    "opposite and zero": torch.tensor([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0]]),
    "the same": torch.ones(3, 4),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rows", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("losses", [0.0, 1.0], ids=["zero losses", "losses"])
def test_is_finite_where_gradients_vanish_or_cancel(name: str, rows: Tensor, losses: float) -> None:
    if name in FROM_THREE_TASKS and len(rows) < 3:
        rows = torch.cat([rows, rows])
    objective = made(name)
    for number in range(3):
        update = objective.update(one_round(rows, [losses] * len(rows), number=number))
        assert update.gradient.isfinite().all()
        assert all(torch.tensor(weight).isfinite() for weight in update.weights.values())
    update = objective.update(random_round(len(rows), 9))
    assert update.gradient.isfinite().all(), "and goes on after that"


@pytest.mark.parametrize("name", ALL)
def test_one_loss_of_zero_is_finite(name: str) -> None:
    objective = made(name)
    for number in range(3):
        update = objective.update(one_round(random_rows(3, number), [0.0, 2.0, 1.0], number=number))
        assert update.gradient.isfinite().all()


@pytest.mark.parametrize("name", NO_CONFLICT)
def test_no_task_is_set_back(name: str) -> None:
    for seed in range(10):
        rows = random_rows(3, seed, parameters=4)
        rows[1] -= 2 * rows[0]
        update = made(name).update(one_round(rows))
        # UPGrad and DualProj add 1e-4 to the diagonal of the products, MGDA stops after 100 steps.
        assert all(cosine(row, update.gradient) > -0.02 for row in rows)
    assert min(cosine(row, rows.sum(0)) for row in rows) < -0.1, "which the plain sum does"


@pytest.mark.parametrize("name", ["pcgrad", "torchjd:pcgrad"])
def test_projection_sets_neither_of_two_tasks_back(name: str) -> None:
    for seed in range(10):
        rows = random_rows(2, seed)
        rows[1] -= 2 * rows[0]
        assert rows[0] @ rows[1] < 0
        assert (rows @ made(name).update(one_round(rows)).gradient >= -1e-12).all()


@pytest.mark.parametrize("name", ALL)
def test_tasks_come_and_go(name: str) -> None:
    objective = made(name)
    present = [NAMES[:3], NAMES[:4], NAMES[2:5], NAMES[1:2], NAMES[:5], NAMES[:3]]
    for number, names in enumerate(present):
        update = objective.update(random_round(len(names), number, names))
        assert update.gradient.isfinite().all()
        assert set(update.weights) in (set(names), set())


def run(objective: Objective, rounds: range) -> list[SharedUpdate]:
    present = (NAMES[:3], NAMES[:4], NAMES[:3], NAMES[1:4])
    return [
        objective.update(random_round(len(names), number, names))
        for number in rounds
        for names in [present[number % len(present)]]
    ]


@pytest.mark.parametrize("name", sorted(set(ALL) - NOT_RESUMABLE))
def test_a_resumed_run_goes_on_to_the_bit(name: str) -> None:
    whole = made(name, seed=3)
    assert whole.resume_problem() is None
    run(whole, range(6))
    saved = json.loads(json.dumps(whole.state_dict()))
    expected = run(whole, range(6, 12))

    resumed = made(name, seed=3)
    resumed.load_state_dict(saved)
    assert json.loads(json.dumps(resumed.state_dict())) == saved
    found = run(resumed, range(6, 12))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.gradient, other.gradient)
        assert one.weights == other.weights


@pytest.mark.parametrize(
    "name", ["dwa", "gradnorm", "uncertainty", "torchjd:gradvac", "torchjd:pcd", "torchjd:imtl_l"]
)
def test_the_state_matters(name: str) -> None:
    """So that the test above would see one that is lost."""
    whole = made(name, seed=3)
    run(whole, range(6))
    fresh = run(made(name, seed=3), range(6, 12))
    assert any(
        not torch.equal(one.gradient, other.gradient)
        for one, other in zip(fresh, run(whole, range(6, 12)), strict=True)
    )


@pytest.mark.parametrize("name", sorted(NOT_RESUMABLE))
def test_what_cannot_be_kept_is_refused(name: str) -> None:
    objective = made(name)
    run(objective, range(2))
    saved = json.loads(json.dumps(objective.state_dict()))
    assert objective.resume_problem() is not None
    with pytest.raises(CheckpointError, match=f"'{name}' cannot be resumed"):
        made(name).load_state_dict(saved)


def test_another_objectives_state_is_refused() -> None:
    with pytest.raises(CheckpointError, match="made with the objective 'dwa', this run has 'torchjd:pcgrad'"):
        made("torchjd:pcgrad").load_state_dict(made("dwa").state_dict())


@pytest.mark.parametrize("name", ALL)
def test_the_global_stream_is_left_alone(name: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    made(name).update(random_round(3, 0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["random", "torchjd:random", "torchjd:graddrop"])
def test_draws_follow_from_seed_and_round(name: str) -> None:
    gradients = random_round(3, 4)
    drawn = made(name, seed=1).update(gradients).gradient
    assert torch.equal(made(name, seed=1).update(gradients).gradient, drawn)
    assert not torch.equal(made(name, seed=2).update(gradients).gradient, drawn)
    assert not torch.equal(made(name, seed=1).update(replace(gradients, round=5)).gradient, drawn)


@pytest.mark.parametrize("name", sorted(set(ALL) - {"torchjd:fairgrad", "torchjd:nash_mtl"}))
def test_short_gradients_are_combined_as_long_ones(name: str) -> None:
    """LoRA's gradients are often shorter than the tolerances of solvers; with 0.001 CAGrad by itself gives zero."""
    plain, scaled = made(name), made(name)
    for number in range(2):
        gradients = random_round(3, number)
        expected = plain.update(gradients).gradient
        found = scaled.update(replace(gradients, rows=gradients.rows * 1e-3)).gradient * 1e3
        if name in ("torchjd:excess_mtl", "torchjd:pcd"):  # whose state is in units of the gradient
            assert cosine(found, expected) > 0.9
        else:
            assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", sorted(set(ALL) - FROM_THREE_TASKS))
def test_two_quadratics_fall(name: str) -> None:
    """Two bowls whose lowest points are apart: the sum of both losses falls from the start, and stays finite."""
    centres = torch.tensor([[1.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    at = torch.tensor([3.0, 4.0], dtype=torch.float64)
    objective = made(name)
    totals = []
    for number in range(60):
        apart = at - centres
        losses = 0.5 * (apart**2).sum(1)
        totals.append(float(losses.sum()))
        gradient = objective.update(one_round(apart.clone(), losses.tolist(), number=number)).gradient
        at -= 0.1 * gradient / max(1.0, float(gradient.norm()))
    assert all(torch.tensor(total).isfinite() for total in totals)
    assert totals[-1] < 0.2 * totals[0]
