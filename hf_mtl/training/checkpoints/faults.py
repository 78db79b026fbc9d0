"""What to tell people when a checkpoint cannot be written."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path

from safetensors import SafetensorError

from hf_mtl.errors import CheckpointWriteError
from hf_mtl.training.checkpoints.run_folder import newest_of_right_sizes

__all__ = ["amount", "unwritten"]

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on this disk is used up",
    errno.EFBIG: "a file would be larger than this process may write (see `ulimit -f`)",
}
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def unwritten(
    folder: Path, error: OSError | SafetensorError, *, needed: int, left: Path | None
) -> CheckpointWriteError:
    """Return the error that says why a checkpoint was not written, what is still usable, and what to do.

    Args:
        folder: The checkpoint.
        error: What went wrong.
        needed: Its size as far as it is known, in bytes.
        left: The half that could not be removed, if there is one.
    """
    number = _number(error)
    parts = [f"{folder} could not be written: {_reason(error, number)}", _previous(folder.parent)]
    if number in _FULL:
        free = shutil.disk_usage(_existing(folder.parent)).free
        parts[0] += f" It needs at least {amount(needed)}; {amount(free)} are free on its disk."
        parts.append("Make room, lower save_total_limit, or give another output_dir; then resume.")
    elif number in _FORBIDDEN:
        parts.append("Give this user the permission to write there, or give another output_dir.")
    else:
        parts.append("Look into the disk, or give another output_dir; then resume.")
    if left is not None:
        parts.append(f"{left} is a useless half that could not be removed; delete it.")
    return CheckpointWriteError(" ".join(parts))


def _number(error: OSError | SafetensorError) -> int | None:
    """The system's number of an error; safetensors has it in its text only."""
    if isinstance(error, OSError):
        return error.errno
    match = re.search(r"\(os error (\d+)\)", str(error))
    return int(match[1]) if match else None


def _reason(error: OSError | SafetensorError, number: int | None) -> str:
    if number in _FULL:
        return f"{_FULL[number]} ({os.strerror(number)})."
    name = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    if number in _FORBIDDEN:
        return f"user {os.geteuid()} may not write there: {os.strerror(number)}{name}."
    return f"{error}." if number is None else f"{os.strerror(number)}{name}."


def _previous(run_dir: Path) -> str:
    try:
        previous = newest_of_right_sizes(run_dir)
    except OSError:
        return f"Whether {run_dir} holds an earlier checkpoint cannot be read."
    if previous is None:
        return f"There is no earlier checkpoint in {run_dir}."
    return f"The last checkpoint, {previous}, is whole and usable."


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


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
