"""The table of docs/bases.md is what the script writes, and what comes out when its families are tried again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch

from tools.bases.families import FAMILIES
from tools.bases.page import PAGE, outcomes_in, table_of, with_table
from tools.bases.trying import outcome_of


@pytest.fixture
def exactly() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


def test_the_page_has_the_script_s_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    outcomes = outcomes_in(text)
    assert list(outcomes) == list(FAMILIES) and len(FAMILIES) >= 40
    assert with_table(text, table_of(outcomes)) == text
    refused = {name for name, outcome in outcomes.items() if outcome != "equal"}
    assert all(outcomes[name].startswith("refused: ") for name in refused)
    assert {"mobilebert", "paligemma", "phi3 (longrope)", "llama (dynamic rope)"} <= refused
    assert not {"bart", "mbart", "marian", "pegasus", "m2m_100", "blenderbot", "beit", "dinov2"} & refused


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of models that nobody has listed
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_equal_or_refused(name: str, exactly: None) -> None:
    said = outcomes_in(PAGE.read_text(encoding="utf-8"))[name]
    assert _probes(outcome_of(name).verdict) == _probes(said)


def _probes(verdict: str) -> str:
    """A verdict without its figures, whose last digit may be another machine's."""
    return re.sub(r" [\d.]+e[+-]\d+", "", verdict)
