"""What a launcher says of a process in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_mtl import MultiTaskTrainingArguments
from hf_mtl.errors import ConfigError
from hf_mtl.launch import is_first, launch_problems

TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        TORCHRUN,
        {"RANK": "0"},
        {"RANK": "0", "WORLD_SIZE": "1"},
        {"LOCAL_RANK": "-1"},
        {"WORLD_SIZE": "4", "OMPI_COMM_WORLD_SIZE": "4"},
    ],
)
def test_what_launchers_set(environment: dict[str, str]) -> None:
    assert launch_problems(environment) == []
    assert is_first(environment) == (environment.get("RANK", "0") == "0")


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"RANK": "x"}, "RANK='x' in the environment: expected a whole number from 0 up"),
        ({"RANK": ""}, "RANK='' in the environment"),
        ({"RANK": "1.0"}, "RANK='1.0' in the environment"),
        ({"RANK": "9" * 5000}, "RANK='999"),
        ({"RANK": "-1"}, "RANK='-1' in the environment"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE='0' in the environment: expected a whole number from 1 up"),
        ({"LOCAL_RANK": "two"}, "LOCAL_RANK='two' in the environment"),
        (
            {"RANK": "1"},
            "one of several processes, and without WORLD_SIZE and LOCAL_RANK it would train alone",
        ),
        ({"WORLD_SIZE": "4", "RANK": "0"}, "without LOCAL_RANK it would train alone"),
        (TORCHRUN | {"RANK": "2"}, "of 2 processes the ranks are 0 to 1"),
    ],
)
def test_what_no_launcher_sets(environment: dict[str, str], problem: str) -> None:
    (found,) = launch_problems(environment)
    assert problem in found and "torchrun" in found and "unset" in found and len(found) < 500


def test_arguments_are_not_made_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "x")
    with pytest.raises(ConfigError, match=r"RANK='x' in the environment"):
        MultiTaskTrainingArguments(str(tmp_path), use_cpu=True)
