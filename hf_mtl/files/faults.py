"""Why a file could not be written, in words: what the system said, how much room there is, and what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from hf_mtl.errors import WriteError

__all__ = [
    "amount",
    "free_bytes",
    "is_folder",
    "is_forbidden",
    "is_full",
    "is_there",
    "reason",
    "system_number",
    "write_error",
]

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on this disk is used up",
    errno.EFBIG: "a file would be larger than this process may write (see `ulimit -f`)",
}
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
# Rust's libraries and shutil.copytree have the system's number in their text only.
_IN_TEXT = re.compile(r"\(os error (\d+)\)|\[Errno (\d+)\]")


def write_error(file: str | Path, error: Exception) -> WriteError:
    """The error that says why a file was not written, and what to do.

    Args:
        file: What was being written.
        error: What the system said.
    """
    path, number = Path(file), system_number(error)
    text = reason(error)
    if number in _FULL:
        text += f" {amount(free_bytes(path))} are free on its disk."
        action = "Make room there, or choose another place."
    elif number in _FORBIDDEN:
        action = "Give this user the permission to write there, or choose another place."
    elif obstacle := _obstacle(path, is_file=number != errno.ENOTDIR):
        text, action = obstacle, "Move it away, or choose another place."
    elif number == errno.ENOENT and (missing := _missing(path.absolute().parent)):
        text, action = f"there is no folder {missing}.", "Make it, or choose another place."
    elif number == errno.ENOENT:
        action = "Something else deletes files there: end it, or choose another place."
    elif number == errno.ENAMETOOLONG:
        action = "Choose a shorter name."
    else:
        action = "Look into the disk, or choose another place."
    return WriteError(str(file), text, action)


def system_number(error: BaseException) -> int | None:
    """The system's number of an error, also of those that have it in their text only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    match = _IN_TEXT.search(str(error))
    return int(match[1] or match[2]) if match else None


def is_full(error: BaseException) -> bool:
    """Whether there was no room: on the disk, in a quota, under a limit."""
    return system_number(error) in _FULL


def is_forbidden(error: BaseException) -> bool:
    """Whether the user may not write there."""
    return system_number(error) in _FORBIDDEN


def reason(error: BaseException) -> str:
    """What the system said, as a sentence."""
    number = system_number(error)
    if number in _FULL:
        return f"{_FULL[number]} ({os.strerror(number)})."
    name = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    if number in _FORBIDDEN:
        return f"{_user()} may not write there: {os.strerror(number)}{name}."
    return f"{error}." if number is None else f"{os.strerror(number)}{name}."


def is_folder(path: Path) -> bool:
    """Whether there is a folder, also of a name that no file can have, for which `Path.is_dir` raises."""
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: Path) -> bool:
    """Whether there is something, also of a name that no file can have, for which `Path.exists` raises."""
    return os.path.exists(path)  # noqa: PTH110


def free_bytes(path: Path) -> int:
    """How much room there is on the disk of a file that need not be there."""
    try:
        return shutil.disk_usage(_existing(path)).free
    except OSError:
        return 0


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.absolute().parents) if is_there(place))


def _user() -> str:
    return f"user {os.geteuid()}" if os.name == "posix" else "this user"


def _obstacle(path: Path, *, is_file: bool) -> str | None:
    """What is in the place of the file (or of a folder, which is not to be a file), or of one that leads to it."""
    if is_folder(path):
        return f"{path} is a folder."
    parts = path.absolute().parents if is_file else (path, *path.absolute().parents)
    blocked = next((part for part in parts if os.path.lexists(part)), None)
    return f"{blocked} is a file, not a folder." if blocked is not None and not is_folder(blocked) else None


def _missing(folder: Path) -> Path | None:
    """The uppermost folder of a path that is not there."""
    missing = [part for part in (folder, *folder.parents) if not is_there(part)]
    return missing[-1] if missing else None


def amount(count: int) -> str:
    """Bytes as people read them.

    >>> amount(999), amount(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    if count < 1000:
        return f"{count} bytes"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"
