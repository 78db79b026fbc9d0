"""Gradients that add up in one buffer equal gradients by themselves; no round, no gradient."""

from __future__ import annotations

import torch
from torch import nn

from hf_mtl.training.flat import FlatParameters
from hf_mtl.training.optimization import TaskOptimizer
from hf_mtl.training.settings import TaskSettings


def _pair() -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    values = [torch.randn(3, 5, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    return [nn.Parameter(v.clone()) for v in values], [nn.Parameter(v.clone()) for v in values]


def test_gradients_of_several_passes_and_rounds() -> None:
    ours, theirs = _pair()
    flat = FlatParameters({str(i): parameter for i, parameter in enumerate(ours)})
    for round_ in range(2):
        flat.collect_gradients()
        for parameter in theirs:
            parameter.grad = None
        for scale in (1.0, 2.0 + round_):  # two micro-batches; the last parameter takes no part
            for a, b, *_ in (ours, theirs):
                (scale * a * b.square()).sum().backward()
        wanted = [torch.zeros(3, 5) if p.grad is None else p.grad for p in theirs]
        assert flat.flat.grad is not None
        assert torch.equal(flat.flat.grad, torch.cat([gradient.reshape(-1) for gradient in wanted]))
        flat.drop_gradients()
        assert flat.flat.grad is None and all(parameter.grad is None for parameter in ours)


def test_what_is_not_decayed_shares_the_clip() -> None:
    settings = TaskSettings(2, 10, 1e-2, "constant", 0.0, 0.1, 0.5)
    ours, theirs = ([nn.Parameter(torch.full((4,), value)) for value in (2.0, -3.0)] for _ in range(2))
    task = TaskOptimizer(
        dict(zip(("head.weight", "head.bias"), ours, strict=True)), settings, torch.optim.AdamW, ours[1:]
    )
    groups = [{"params": [p], "weight_decay": decay} for p, decay in zip(theirs, (0.1, 0.0), strict=True)]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    for _ in range(3):
        task.start_round()
        optimizer.zero_grad()
        for parameters in (ours, theirs):
            torch.stack([p.square().sum() for p in parameters]).sum().backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs, 0.5)
        assert task.norm() == norm
        task.clip(float(norm))
        task.step()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
