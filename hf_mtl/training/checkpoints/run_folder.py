"""The names in a run's folder: `checkpoint-N`, and hidden folders that are on their way in or out.

    checkpoint-40                        a checkpoint
    .checkpoint-50.partial-1f0c3a9e      being written
    .checkpoint-40.replaced-77aa01c2     out of the way of the one that takes its name; it comes back if that fails
    .checkpoint-10.deleted-90ab3344      being deleted

Every change of a name is one rename, so a folder without a dot in front is never half of anything.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Literal

from hf_mtl.errors import CheckpointError
from hf_mtl.training.checkpoints.index import INDEX_FILE, Index

__all__ = ["Aside", "aside", "asides", "checkpoints", "has_right_sizes", "newest_of_right_sizes", "target_of"]

Aside = Literal["partial", "replaced", "deleted"]

_CHECKPOINT = re.compile(r"checkpoint-(0|[1-9][0-9]*)")
_ASIDE = re.compile(r"\.(?P<name>.+)\.(?P<state>partial|replaced|deleted)-[0-9a-f]{8}")


def checkpoints(run_dir: Path) -> list[Path]:
    """The folders called `checkpoint-N`, whole or not, by ascending N."""
    if not run_dir.is_dir():
        return []
    numbered = [
        (int(match[1]), path)
        for path in run_dir.iterdir()
        if (match := _CHECKPOINT.fullmatch(path.name)) and path.is_dir()
    ]
    return [path for _, path in sorted(numbered)]


def newest_of_right_sizes(run_dir: Path) -> Path | None:
    """The newest checkpoint all of whose files are there, with their sizes; nothing is read but the indexes."""
    return next((folder for folder in reversed(checkpoints(run_dir)) if has_right_sizes(folder)), None)


def has_right_sizes(folder: Path) -> bool:
    """Whether a folder has an index of ours, and every file of it with its size."""
    if not (folder / INDEX_FILE).is_file():
        return False
    try:
        Index.load(folder).check(folder, digests=False)
    except CheckpointError:
        return False
    return True


def aside(folder: Path, state: Aside) -> Path:
    """A new hidden name beside a folder."""
    return folder.with_name(
        f".{folder.name}.{state}-{secrets.token_hex(4)}"
    )  # not `random`, which is the run's


def asides(run_dir: Path, *states: Aside) -> list[Path]:
    """The hidden folders in these states, sorted."""
    if not run_dir.is_dir():
        return []
    return sorted(
        path
        for path in run_dir.iterdir()
        if (match := _ASIDE.fullmatch(path.name)) and match["state"] in states and path.is_dir()
    )


def target_of(hidden: Path) -> Path:
    """The folder that a hidden one became aside of.

    >>> target_of(Path("run/.checkpoint-5.partial-1f0c3a9e")).name
    'checkpoint-5'
    """
    match = _ASIDE.fullmatch(hidden.name)
    if match is None:
        raise ValueError(f"{hidden.name} is not the name of a folder set aside")
    return hidden.with_name(match["name"])
