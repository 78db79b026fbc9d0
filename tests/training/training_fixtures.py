"""What the tests of the training room share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from forked_writer import ForkedWriter


@pytest.fixture(scope="session")
def writer() -> Iterator[ForkedWriter]:
    """A process that writes checkpoints in children, which may be killed."""
    server = ForkedWriter()
    yield server
    server.close()


@pytest.fixture(scope="session")
def runner() -> Iterator[ForkedWriter]:
    """A process that trains in children, which may be killed."""
    yield from _runner()


@pytest.fixture(scope="session")
def second_runner() -> Iterator[ForkedWriter]:
    """The same again, for the second process of a run."""
    yield from _runner()


def _runner() -> Iterator[ForkedWriter]:
    server = ForkedWriter(str(Path(__file__).with_name("run_processes.py")))
    yield server
    server.close()


@pytest.fixture
def ordinary_algorithms_afterwards() -> Iterator[None]:
    """One thread, for results that are equal to the bit; what `full_determinism` sets is taken back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)
