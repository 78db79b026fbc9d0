"""The suite that the tests of cards show."""

from __future__ import annotations

import pytest
from made_up_suite import made_up_suite

from hf_mtl.export.cards import SuiteFacts


@pytest.fixture
def made_up() -> SuiteFacts:
    return made_up_suite()
