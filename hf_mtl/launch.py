"""What the launcher of several processes (torchrun, `accelerate launch`) says of this one, in the environment.

>>> is_first({"RANK": "1"}), is_first({})
(False, True)
"""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["is_first", "launch_problems"]

_LEAST = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": -1, "LOCAL_WORLD_SIZE": 1}  # -1: a process by itself
_OTHER_LAUNCHERS = ("MV2_", "OMPI_", "PMI_")  # of MPI, whose variables accelerate reads in their place


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the one of several that speaks."""
    return environment.get("RANK", "0").strip() == "0"


def launch_problems(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Why it cannot be known which of how many processes this one is; a run would go on alone, or hang.

    >>> launch_problems({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"})
    []
    >>> print(*launch_problems({"RANK": "one"}))
    RANK='one' in the environment: expected a whole number from 0 up. A launcher such as torchrun sets it: start \
with `torchrun --nproc-per-node N -m hf_mtl ...`, or for a single process `unset RANK`.
    """
    numbers: dict[str, int] = {}
    problems = []
    for name, least in _LEAST.items():
        text = environment.get(name)
        if text is None:
            continue
        number = _whole(text)
        if number is None or number < least:
            up = f"expected a whole number from {max(least, 0)} up"
            problems.append(f"{name}={text!r:.60} in the environment: {up}. {_advice(name)}")
        else:
            numbers[name] = number
    return problems or _unfit(numbers, environment)


def _whole(text: str) -> int | None:
    digits = text.strip().removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _unfit(numbers: Mapping[str, int], environment: Mapping[str, str]) -> list[str]:
    """What is wrong with numbers that are right by themselves."""
    rank, world = numbers.get("RANK", 0), numbers.get("WORLD_SIZE", 1)
    here = " and ".join(f"{name}={number}" for name, number in numbers.items())
    if "WORLD_SIZE" in numbers and rank >= world:
        return [
            f"{here} in the environment: of {world} processes the ranks are 0 to {world - 1}. {_advice()}"
        ]
    several = rank > 0 or world > 1
    missing = [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK") if name not in numbers]
    if not several or not missing or any(name.startswith(_OTHER_LAUNCHERS) for name in environment):
        return []
    return [
        f"{here} in the environment: this is one of several processes, and without {' and '.join(missing)} it "
        f"would train alone. {_advice(*numbers)}"
    ]


def _advice(*names: str) -> str:
    unset = " ".join(names or _LEAST)
    it = "it" if len(names) == 1 else "them"
    return (
        f"A launcher such as torchrun sets {it}: start with `torchrun --nproc-per-node N -m hf_mtl ...`, or for a "
        f"single process `unset {unset}`."
    )
