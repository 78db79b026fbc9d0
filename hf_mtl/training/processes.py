"""Several processes: what they add up, and what they tell each other.

Each process computes whole chunks of a round (`Cut.fill`). Gradients and losses of the owners that take part in it
are added up by one all-reduce of one flat buffer; whoever sits the round out is not in it, so no gradient of zeros
can move anybody. After it all processes hold the same bits and make the same update.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn

__all__ = ["Replica", "gathered", "several", "sum_over_processes", "wait"]


def several() -> bool:
    """Whether there is more than one process."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def sum_over_processes(buffers: list[Tensor], scalars: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add up, in place, the same buffers of all processes, and scalars.

    Args:
        buffers: Flat, of one dtype and device.
        scalars: By key; the keys must be the same in every process.

    Returns:
        The sums of the scalars.
    """
    if not several():
        return dict(scalars)
    parts = [*buffers, *(scalar.reshape(1) for scalar in scalars.values())]
    dtype = parts[0].dtype
    flat = torch.cat([part.to(dtype) for part in parts])
    distributed.all_reduce(flat)
    sums = flat.split([part.numel() for part in parts])
    for buffer, total in zip(buffers, sums, strict=False):
        buffer.copy_(total)
    return {key: sums[len(buffers) + i][0] for i, key in enumerate(scalars)}


def gathered(value: Any) -> list[Any]:  # Any: whatever the processes have to tell each other
    """The values of all processes, in the order of their ranks."""
    if not several():
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def wait() -> None:
    """Wait until every process is here."""
    if several():
        distributed.barrier()


class Replica(nn.Module):
    """The model as each process has it.

    The stock Trainer would wrap a model in `DistributedDataParallel`, whose backward pass expects a gradient of every
    parameter in every process. Rounds have other rules, so the model goes under this name instead.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:  # Any: as the model's own
        """The model's own pass."""
        return self.module(*args, **kwargs)
