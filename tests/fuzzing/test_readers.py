"""Good files with random changes are read, or refused by one of our errors with a short and harmless message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzzing.changing import changed_bytes, changed_json
from fuzzing.targets import TARGETS, check, lay_out

EXAMPLES = 100
# Derandomised: the same examples in every run; `make fuzz` looks for new ones.
QUICK = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with what a recipe names; the process stands in it, so that nothing else is found."""
    path = tmp_path_factory.mktemp("fuzzing")
    lay_out(path)
    before = Path.cwd()
    os.chdir(path)
    yield path
    os.chdir(before)


WHOLE_RECIPES = ["recipe", "override"]  # read with their rows, which takes longer


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in WHOLE_RECIPES])
@QUICK
@given(data=st.data())
def test_changed_bytes(name: str, folder: Path, data: st.DataObject) -> None:
    target = TARGETS[name]
    check(target.read, data.draw(changed_bytes(target.seeds, target.words)), folder)


@pytest.mark.parametrize("name", WHOLE_RECIPES)
@settings(QUICK, max_examples=EXAMPLES // 2)
@given(data=st.data())
def test_changed_recipes(name: str, folder: Path, data: st.DataObject) -> None:
    target = TARGETS[name]
    check(target.read, data.draw(changed_bytes(target.seeds, target.words)), folder)


@pytest.mark.parametrize("name", ["manifest", "adapter_config"])
@QUICK
@given(data=st.data())
def test_changed_values(name: str, folder: Path, data: st.DataObject) -> None:
    target = TARGETS[name]
    check(target.read, data.draw(changed_json(target.seeds[0])), folder)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_good(name: str, folder: Path) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].read(seed, folder)
