"""Random numbers that follow from a seed and a key alone.

A resumed run and every process draw the same, in whatever order and however often they draw; and what is keyed by a
task's name does not depend on which other tasks take part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["drawn", "global_stream", "standard_normal"]


def drawn(seed: int, *key: int | str) -> int:
    """A uniform random number below 2**63.

    >>> drawn(0, 7, "verbs") == drawn(0, 7, "verbs"), drawn(0, 7, "verbs") == drawn(0, 8, "verbs")
    (True, False)
    """
    digest = hashlib.blake2b(repr((seed, *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def standard_normal(seed: int, *key: int | str) -> float:
    """A number from the normal distribution with mean 0 and variance 1."""
    generator = torch.Generator().manual_seed(drawn(seed, *key))
    return float(torch.randn((), dtype=torch.float64, generator=generator))


@contextmanager
def global_stream(device: torch.device, seed: int, *key: int | str) -> Iterator[None]:
    """Seed torch's global streams for a while, for libraries that draw from nothing else, and put them back."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        # Not torch.manual_seed, which would also seed devices that are not put back.
        torch.default_generator.manual_seed(drawn(seed, *key))
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(drawn(seed, *key))
        yield
