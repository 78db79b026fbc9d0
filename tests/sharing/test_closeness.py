"""The penalty of soft sharing, against autograd on the formula written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hf_mtl.adapters import LoraUpdate, add_closeness, closeness, inner_products

RANKS = (2, 3, 1)


def _updates() -> list[LoraUpdate]:
    generator = torch.Generator().manual_seed(0)
    return [
        LoraUpdate(
            torch.randn(rank, 5, generator=generator, dtype=torch.float64),
            torch.randn(4, rank, generator=generator, dtype=torch.float64),
            scale=0.5 + number,
            dropout=0.0,
            path="",
        )
        for number, rank in enumerate(RANKS)
    ]


def _changes(updates: list[LoraUpdate]) -> list[Tensor]:
    return [update.scale * update.lora_B @ update.lora_A for update in updates]


def _to_the_mean(changes: list[Tensor]) -> Tensor:
    mean = torch.stack(changes).mean(0)
    return 0.3 / 2 * torch.stack([(change - mean).square().sum() for change in changes]).sum()


RELATIONS = torch.tensor([[0.0, 0.5, 0.0], [0.5, 0.0, 2.0], [0.0, 2.0, 0.0]], dtype=torch.float64)


def _by_pairs(changes: list[Tensor]) -> Tensor:
    pairs = [RELATIONS[i, j] * (changes[i] - changes[j]).square().sum() for i in range(3) for j in range(3)]
    return 0.3 / 4 * torch.stack(pairs).sum()


MEAN = 0.3 * (torch.eye(3, dtype=torch.float64) - 1 / 3)
PAIRS = 0.3 * (torch.diag(RELATIONS.sum(1)) - RELATIONS)


@pytest.mark.parametrize(("coefficients", "formula"), [(MEAN, _to_the_mean), (PAIRS, _by_pairs)])
@pytest.mark.parametrize("drawn", [(True, True, True), (False, True, True)])
def test_value_and_gradient(coefficients: Tensor, formula: object, drawn: tuple[bool, ...]) -> None:
    updates = _updates()
    penalty = formula(_changes(updates))  # type: ignore[operator]  # one of the two functions above
    parameters = [p for update in updates for p in (update.lora_A, update.lora_B)]
    expected = torch.autograd.grad(penalty, parameters)
    assert float(closeness(updates, coefficients)) == pytest.approx(penalty.item(), rel=1e-12)
    for update, moves in zip(updates, drawn, strict=True):
        for parameter in (update.lora_A, update.lora_B) if moves else ():
            parameter.grad = torch.ones_like(parameter)  # the task's own gradient
    add_closeness(updates, coefficients, drawn=drawn)
    for number, (parameter, gradient) in enumerate(zip(parameters, expected, strict=True)):
        if drawn[number // 2]:
            torch.testing.assert_close(parameter.grad, gradient + 1, rtol=1e-12, atol=1e-12)
        else:
            assert parameter.grad is None


def test_equal_changes_cost_nothing_whatever_their_factors() -> None:
    first = _updates()[0]
    same = LoraUpdate(
        first.lora_A.detach() * 4, first.lora_B.detach() / 4, scale=first.scale, dropout=0.0, path=""
    )
    pair = 0.3 * (torch.eye(2, dtype=torch.float64) - 1 / 2)
    assert float(closeness([first, same], pair)) == pytest.approx(0.0, abs=1e-12)


def test_inner_products() -> None:
    updates = _updates()
    flat = torch.stack([change.flatten() for change in _changes(updates)])
    torch.testing.assert_close(inner_products(updates), (flat @ flat.t()).detach(), rtol=1e-12, atol=1e-12)
