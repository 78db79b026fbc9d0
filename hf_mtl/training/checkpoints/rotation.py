"""Which checkpoint a run goes on from, and which ones it keeps."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from hf_mtl.errors import CheckpointDamagedError, CheckpointError
from hf_mtl.notices import logger_of
from hf_mtl.training.checkpoints.index import INDEX_FILE
from hf_mtl.training.checkpoints.locks import FileLock
from hf_mtl.training.checkpoints.reading import foreign, read_checkpoint
from hf_mtl.training.checkpoints.run_folder import aside, asides, checkpoints, has_right_sizes, target_of

__all__ = ["last_checkpoint", "remove_partials", "rotate_checkpoints"]

logger = logger_of(__name__)


def last_checkpoint(run_dir: Path) -> Path | None:
    """The newest whole `checkpoint-N`, by N; every file of it has been read and compared.

    Halves, damaged ones and folders of other programs are passed over with a warning that names them. A
    checkpoint that was being replaced when its run was killed gets its name back.

    Returns:
        Its folder, or None if there is no whole one.

    Raises:
        CheckpointError: If one cannot be read or has a newer format: going on from an older one would silently
            throw work away.
    """
    try:
        _restore_replaced(run_dir)
        for half in asides(run_dir, "partial"):
            logger.warning("%s is passed over: its writing did not come to an end.", half)
        for folder in reversed(checkpoints(run_dir)):
            problem = _problem(folder)
            if problem is None:
                return folder
            logger.warning("%s is passed over. %s", folder, problem)
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or run_dir} cannot be read: {error.strerror}. Give this user the permission to "
            f"read and write the run's folder, or name the checkpoint to resume from."
        ) from error
    return None


def _problem(folder: Path) -> str | CheckpointDamagedError | None:
    if not (folder / INDEX_FILE).is_file():
        return foreign(folder)
    try:
        read_checkpoint(folder)
    except CheckpointDamagedError as error:
        return error
    return None


def _restore_replaced(run_dir: Path) -> None:
    """Undo what a writer did that was killed between its two renames."""
    for hidden in asides(run_dir, "replaced"):
        target = target_of(hidden)
        if target.exists():
            continue
        try:
            _restore_unless_live(hidden, target)
        except FileNotFoundError:  # its writer has come to its end meanwhile
            continue


def _restore_unless_live(hidden: Path, target: Path) -> None:
    lock = FileLock.acquire(hidden / INDEX_FILE)
    if lock is None:  # its writer is about to put the new one in place
        return
    try:
        hidden.rename(target)
    finally:
        lock.release()
    logger.warning("%s is back: the run that was replacing it ended before it was done.", target)


def remove_partials(run_dir: Path) -> None:
    """Delete what earlier processes left half written or half deleted; what a live one is writing stays.

    A half that cannot be deleted is named in a warning; it does no harm but take room.

    Raises:
        CheckpointError: If the folder cannot be read.
    """
    try:
        _restore_replaced(run_dir)
        halves = asides(run_dir, "partial", "replaced", "deleted")
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or run_dir} cannot be tidied up: {error.strerror}. Give this user the permission to "
            f"read and write the run's folder."
        ) from error
    for half in halves:
        try:
            _delete_unless_live(half)
        except FileNotFoundError:  # its writer, or another run that tidies up, was quicker
            continue
        except OSError as error:
            logger.warning(
                "%s is a useless half that could not be deleted (%s); delete it.", half, error.strerror
            )


def _delete_unless_live(half: Path) -> None:
    try:
        lock = FileLock.acquire(half / INDEX_FILE)
    except FileNotFoundError:
        _delete_without_index(half)
        return
    if lock is None:
        return
    try:
        shutil.rmtree(half)
    finally:
        lock.release()


def _delete_without_index(half: Path) -> None:
    """A writer makes the index first of all, so a half with files and no index has no writer."""
    try:
        half.rmdir()  # if its writer is alive after all, it takes another folder
    except FileNotFoundError:
        return
    except OSError:
        if not (half / INDEX_FILE).exists():
            shutil.rmtree(half)


def rotate_checkpoints(run_dir: Path, limit: int | None, keep: Collection[Path]) -> list[Path]:
    """Delete the oldest whole checkpoints until `limit` are left.

    Args:
        run_dir: The run's folder.
        limit: How many may stay, `save_total_limit`; None or less than 1: all.
        keep: Never deleted, such as the best one; they count. Neither is the newest one ever deleted.

    Returns:
        What was deleted, oldest first. Folders that are no whole checkpoints neither count nor go.

    Raises:
        CheckpointError: If one could not be deleted.
    """
    if limit is None or limit < 1:
        return []
    deleted: list[Path] = []
    try:
        whole = [folder for folder in checkpoints(run_dir) if has_right_sizes(folder)]
        kept = {folder.resolve() for folder in [*keep, *whole[-1:]]}
        candidates = [folder for folder in whole if folder.resolve() not in kept]
        for folder in candidates[: max(0, len(whole) - limit)]:
            hidden = aside(folder, "deleted")
            folder.rename(hidden)  # at once, so that it is never half a checkpoint
            deleted.append(folder)
            shutil.rmtree(hidden)
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or run_dir}: an old checkpoint could not be deleted (save_total_limit={limit}): "
            f"{error.strerror}. The newer ones are whole. Delete it yourself, or raise save_total_limit."
        ) from error
    return deleted
