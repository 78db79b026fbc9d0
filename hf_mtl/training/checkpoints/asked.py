"""The checkpoint that a user asks a run to go on from, looked at before anything costly."""

from __future__ import annotations

import os
from pathlib import Path

from hf_mtl.errors import CheckpointError
from hf_mtl.training.checkpoints.index import INDEX_FILE
from hf_mtl.training.checkpoints.reading import foreign
from hf_mtl.training.checkpoints.rotation import last_checkpoint

__all__ = ["asked_checkpoint"]


def asked_checkpoint(run_dir: Path, asked: str | bool | None) -> Path | None:
    """The folder to resume from, None for a run from the start.

    Args:
        run_dir: The run's `output_dir`.
        asked: The folder of a checkpoint, or True for the last whole one of the run.

    Raises:
        CheckpointError: If there is no such checkpoint; whether its files are whole shows when it is read.
    """
    if asked is None or asked is False:
        return None
    if not isinstance(asked, str | os.PathLike | bool):
        raise CheckpointError(
            f"resume_from_checkpoint: expected the folder of a checkpoint, or True for the last one, found "
            f"{asked!r:.80}."
        )
    if asked is not True:
        folder = Path(asked)
        if not (folder / INDEX_FILE).is_file():
            raise CheckpointError(_foreign(folder))
        return folder
    found = last_checkpoint(run_dir)
    if found is None:
        raise CheckpointError(
            f"{run_dir}: there is no whole checkpoint (a folder 'checkpoint-N' with a checkpoint.json) to resume "
            f"from. Start without resume_from_checkpoint (`--resume`), or name the folder of one."
        )
    return found


def _foreign(folder: Path) -> str:
    try:
        return foreign(folder)
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}. Give another checkpoint, or the permission to read it."
