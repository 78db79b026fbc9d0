"""What the tests of the training room share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from forked_writer import ForkedWriter


@pytest.fixture(scope="session")
def writer() -> Iterator[ForkedWriter]:
    """A process that writes checkpoints in children, which may be killed."""
    server = ForkedWriter()
    yield server
    server.close()
