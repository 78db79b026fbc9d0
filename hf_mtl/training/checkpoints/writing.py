"""A checkpoint that is written: whole, or not there."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from hf_mtl import __version__
from hf_mtl.errors import CheckpointError, CheckpointWriteError, WriteError, listing
from hf_mtl.notices import logger_of
from hf_mtl.training.checkpoints.exact_json import dumps
from hf_mtl.training.checkpoints.faults import unwritten
from hf_mtl.training.checkpoints.index import INDEX_FILE, Index, files_in
from hf_mtl.training.checkpoints.locks import FileLock
from hf_mtl.training.checkpoints.run_folder import aside
from hf_mtl.training.checkpoints.tensor_files import save_tensors

__all__ = ["write_checkpoint"]

logger = logger_of(__name__)

_STEM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(?<![.])")


def write_checkpoint(
    folder: Path,
    tensors: Mapping[str, Mapping[str, Tensor]],
    documents: Mapping[str, object],
    *,
    also: Callable[[Path], None] | None = None,
) -> None:
    """Write a checkpoint beside its place, wait until all of it is on the disk, and move it there by one rename.

    Args:
        folder: Its place, such as `run/checkpoint-40`. A checkpoint that is there already is replaced.
        tensors: Tensors by key, by the stem of their file `<stem>.safetensors`. Keys are any text.
        documents: Values as `exact_json.dumps` takes them, by the stem of their file `<stem>.json`.
        also: Writes further files (the adapters as PEFT folders) into the folder that it is given, first of all; the
            index covers them too.

    Raises:
        CheckpointWriteError: If it cannot be written. What was there before is still there.
        CheckpointError: If something in it cannot be kept exactly.

    Example:
        >>> import tempfile, torch
        >>> from hf_mtl.training.checkpoints.reading import read_checkpoint
        >>> run = tempfile.TemporaryDirectory()
        >>> folder = Path(run.name) / "checkpoint-2"
        >>> write_checkpoint(folder, {"moments": {"q&a/exp_avg": torch.ones(2)}}, {"state": {"round": 2}})
        >>> checkpoint = read_checkpoint(folder)
        >>> checkpoint.document("state"), checkpoint.tensors("moments")
        ({'round': 2}, {'q&a/exp_avg': tensor([1., 1.])})
        >>> run.cleanup()
    """
    files = {f"{stem}.safetensors": group for stem, group in tensors.items()}
    texts = {f"{stem}.json": dumps(value, where=f"{stem}.json") for stem, value in documents.items()}
    _check_names([*tensors, *documents], [*files, *texts])
    needed = sum(map(len, texts.values()))
    needed += sum(
        tensor.numel() * tensor.element_size() for group in files.values() for tensor in group.values()
    )
    partial: Path | None = None
    with ExitStack() as undo:
        try:
            _check_place(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial, lock = _begin(folder)
            undo.callback(lock.release)
            undo.callback(_removed, partial)  # once it is in its place, nothing is left under its hidden name
            if also is not None:
                also(partial)
            _fill(partial, files, texts)
            _flush(partial)
            lock.write(Index.of(partial, hf_mtl_version=__version__).text())
            _put_in_place(partial, folder)
        except (OSError, SafetensorError, WriteError) as error:
            needed += _size(partial, without={*files, *texts})
            cause = error.__cause__ if isinstance(error, WriteError) and error.__cause__ else error
            raise unwritten(folder, cause, needed=needed, left=_removed(partial)) from cause


def _check_names(stems: Iterable[str], names: list[str]) -> None:
    odd = [stem for stem in stems if not _STEM.fullmatch(stem)]
    if odd:
        raise CheckpointError(
            f"Files of a checkpoint are named by letters, digits, '_', '-' and '.', found {listing(odd)}. Use the "
            f"names of tasks as keys, or export.folder_names to make harmless ones of them."
        )
    folded = [name.lower() for name in names] + [INDEX_FILE]
    twice = {name for name in names if folded.count(name.lower()) > 1}
    if twice:
        raise CheckpointError(
            f"Each file of a checkpoint has a name of its own, whatever its case, and {INDEX_FILE!r} is the index; "
            f"found {listing(twice)}. Give another name."
        )


def _check_place(folder: Path) -> None:
    """Only a checkpoint of ours, whole or damaged, makes way for another."""
    if not os.path.lexists(folder):
        return
    if folder.is_dir() and not folder.is_symlink():
        if (folder / INDEX_FILE).is_file() or not any(folder.iterdir()):
            return
        found = listing(path.name for path in folder.iterdir())
    else:
        found = "a link" if folder.is_symlink() else "a file"
    raise CheckpointWriteError(
        f"{folder} could not be written: a checkpoint of hf_mtl (with {INDEX_FILE!r}) would be replaced, but something "
        f"else is there: {found}. Move it away, or give another output_dir."
    )


def _begin(folder: Path) -> tuple[Path, FileLock]:
    """Make the folder to write in; its index is made first, empty, and locked as long as this process writes."""
    while True:
        partial = aside(folder, "partial")
        partial.mkdir()
        with suppress(FileNotFoundError), ExitStack() as undo:
            undo.callback(_removed, partial)
            lock = FileLock.acquire(partial / INDEX_FILE, make=True)
            undo.pop_all()
            if lock is not None:
                return partial, lock
        # Another run tidied up, and took the empty folder for a stale half.


def _fill(partial: Path, files: Mapping[str, Mapping[str, Tensor]], texts: Mapping[str, str]) -> None:
    for name in (*files, *texts):
        if os.path.lexists(partial / name):
            raise CheckpointError(f"{name!r} is written twice, by `also` too. Give one of them another name.")
    for name, group in files.items():
        save_tensors(partial / name, group)
    for name, text in texts.items():
        (partial / name).write_text(text, encoding="utf-8")


def _flush(partial: Path) -> None:
    """Wait until the files, then the folders that name them, are on the disk."""
    folders = [path for path in partial.rglob("*") if path.is_dir()]
    for path in (*files_in(partial), *folders, partial):
        _flush_one(path)


def _flush_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(partial: Path, folder: Path) -> None:
    old = aside(folder, "replaced")
    # Locked, so that another process does not bring it back between the two renames; one that tidies up may have
    # the lock for a moment.
    lock = FileLock.acquire(folder / INDEX_FILE, wait=True) if (folder / INDEX_FILE).exists() else None
    try:
        with ExitStack() as undo:
            if lock is not None:
                folder.rename(old)
                undo.callback(old.rename, folder)
            partial.rename(folder)
            undo.pop_all()
        _flush_one(folder.parent)
        if lock is not None and (left := _removed(old)):
            logger.warning(
                "%s was replaced, but the one before it could not be deleted: delete %s.", folder, left
            )
    finally:
        if lock is not None:
            lock.release()


def _removed(half: Path | None) -> Path | None:
    """Remove a half as far as possible; returns it if something is left."""
    if half is None:
        return None
    shutil.rmtree(half, ignore_errors=True)
    return half if half.exists() else None


def _size(partial: Path | None, *, without: Iterable[str]) -> int:
    if partial is None:
        return 0
    known = {partial / name for name in without}
    return sum(path.stat().st_size for path in partial.rglob("*") if path.is_file() and path not in known)
