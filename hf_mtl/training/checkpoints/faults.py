"""What to tell people when a checkpoint cannot be written."""

from __future__ import annotations

from pathlib import Path

from hf_mtl.errors import CheckpointWriteError
from hf_mtl.files import amount, free_bytes, is_forbidden, is_full, reason
from hf_mtl.training.checkpoints.run_folder import newest_of_right_sizes

__all__ = ["unwritten"]


def unwritten(folder: Path, error: BaseException, *, needed: int, left: Path | None) -> CheckpointWriteError:
    """Return the error that says why a checkpoint was not written, what is still usable, and what to do.

    Args:
        folder: The checkpoint.
        error: What went wrong.
        needed: Its size as far as it is known, in bytes.
        left: The half that could not be removed, if there is one.
    """
    parts = [f"{folder} could not be written: {reason(error)}", _previous(folder.parent)]
    if is_full(error):
        free = free_bytes(folder.parent)
        parts[0] += f" It needs at least {amount(needed)}; {amount(free)} are free on its disk."
        parts.append("Make room, lower save_total_limit, or give another output_dir; then resume.")
    elif is_forbidden(error):
        parts.append("Give this user the permission to write there, or give another output_dir.")
    else:
        parts.append("Look into the disk, or give another output_dir; then resume.")
    if left is not None:
        parts.append(f"{left} is a useless half that could not be removed; delete it.")
    return CheckpointWriteError(" ".join(parts))


def _previous(run_dir: Path) -> str:
    try:
        previous = newest_of_right_sizes(run_dir)
    except OSError:
        return f"Whether {run_dir} holds an earlier checkpoint cannot be read."
    if previous is None:
        return f"There is no earlier checkpoint in {run_dir}."
    return f"The last checkpoint, {previous}, is whole and usable."
