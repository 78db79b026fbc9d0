"""Rounds to feed objectives with, and every objective with options that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hf_mtl.objectives import OBJECTIVES, Objective, SharedGradients, objective_names, objective_of

NAMES = ("verbs", "words", "stars", "names", "tags")
BY_TASK = dict.fromkeys(NAMES, 1.0)

# Where an objective has no default. The same by its short and its full name.
NEEDED: Mapping[str, Mapping[str, object]] = {
    "static": {"weights": {"verbs": 2.0, "words": 0.5}},
    "torchjd:cagrad": {"c": 0.4},
    "torchjd:constant": {"weights": {**BY_TASK, "verbs": 2.0}},
    "torchjd:cosmos": {"lambda_": 0.5, "weights": BY_TASK},
    "torchjd:fairgrad": {"alpha": 1.0},
    "torchjd:krum": {"n_byzantine": 0},
    "torchjd:pbi": {"theta": 0.1, "weights": BY_TASK},
    "torchjd:stch": {"mu": 1.0},
    "torchjd:trimmed_mean": {"trim_number": 0},
}
QUICK: Mapping[str, Mapping[str, object]] = {"dwa": {"window": 2}}  # so that a few rounds show its effect


def ours_and_theirs() -> list[str]:
    """Every objective once, TorchJD's by their full names."""
    return [name if name in OBJECTIVES or ":" in name else f"torchjd:{name}" for name in objective_names()]


def made(name: str, seed: int = 0) -> Objective:
    return objective_of({"name": name, **NEEDED.get(name, {}), **QUICK.get(name, {})}, seed=seed)


def one_round(
    rows: Tensor | Sequence[Sequence[float]],
    losses: Sequence[float] | None = None,
    *,
    names: Sequence[str] | None = None,
    number: int = 0,
    blocks: Sequence[int] | None = None,
) -> SharedGradients:
    matrix = torch.as_tensor(rows, dtype=torch.float64)
    own = range(1, len(matrix) + 1) if losses is None else losses
    return SharedGradients(
        names=tuple(names or NAMES[: len(matrix)]),
        losses=torch.tensor(list(own), dtype=torch.float64),
        rows=matrix,
        blocks=tuple(blocks or (matrix.shape[1],)),
        round=number,
    )


def random_rows(tasks: int, seed: int, parameters: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(tasks, parameters, dtype=torch.float64, generator=generator)


def random_round(tasks: int, number: int, names: Sequence[str] | None = None) -> SharedGradients:
    generator = torch.Generator().manual_seed(1000 + number)
    losses = (torch.rand(tasks, generator=generator, dtype=torch.float64) + 0.5).tolist()
    return one_round(random_rows(tasks, number), losses, names=names, number=number)
