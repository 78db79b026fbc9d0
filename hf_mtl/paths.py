r"""What lies at a path that somebody else named: one that no system takes, or that may not be looked at, is not there.

`pathlib` raises for a name that is too long, holds a NUL or half a surrogate pair, for a folder without permission, and
for the home of a user that there is not.

>>> is_file("x" * 5000), is_folder("a\0b"), expanded("~nobody-of-this-name/rows.csv")
(False, False, PosixPath('~nobody-of-this-name/rows.csv'))
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["exists", "expanded", "folders_in", "is_file", "is_folder", "names_in"]


def is_file(path: str | Path) -> bool:
    """Whether there is such a file."""
    return os.path.isfile(path)  # noqa: PTH113  # which raises nothing


def is_folder(path: str | Path) -> bool:
    """Whether there is such a folder."""
    return os.path.isdir(path)  # noqa: PTH112


def exists(path: str | Path) -> bool:
    """Whether there is anything."""
    return os.path.exists(path)  # noqa: PTH110


def expanded(text: str | Path) -> Path:
    """The path with the home folder for a `~`; of a user that there is not, as it stands."""
    try:
        return Path(os.path.expanduser(text))  # noqa: PTH111
    except ValueError:  # `~` and a NUL
        return Path(text)


def names_in(folder: Path) -> list[str]:
    """The names in a folder, sorted; none where it is not one, or may not be read."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except (OSError, ValueError):
        return []


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in a folder, as `names_in`."""
    return [name for name in names_in(folder) if is_folder(folder / name)]
