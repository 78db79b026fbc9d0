"""A checkpoint that is read: verified as a whole, then loaded piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from hf_mtl.errors import CheckpointDamagedError, CheckpointError, listing
from hf_mtl.training.checkpoints.exact_json import loads
from hf_mtl.training.checkpoints.index import INDEX_FILE, Index
from hf_mtl.training.checkpoints.run_folder import checkpoints
from hf_mtl.training.checkpoints.tensor_files import load_tensors

__all__ = ["ADVICE", "Checkpoint", "read_checkpoint"]

# Files by which one knows what the stock Trainer of transformers saves.
_STOCK = ("trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin")


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint. Its files are loaded when they are asked for.

    Args:
        folder: Where it is.
        index: What it holds.
    """

    folder: Path
    index: Index

    def tensors(self, stem: str) -> dict[str, Tensor]:
        """Load `<stem>.safetensors`: tensors by key, on the CPU, bit for bit as they were written.

        The keys come in any order.

        Raises:
            CheckpointError: If there is no such file, or it cannot be read.
        """
        file = self._file(f"{stem}.safetensors")
        try:
            return load_tensors(file)
        except (SafetensorError, ValueError, RecursionError) as error:
            raise CheckpointDamagedError(f"{file} is not a file of tensors: {error}. {ADVICE}") from error
        except OSError as error:
            raise _unreadable(file, error) from error

    def document(self, stem: str) -> object:
        """Load `<stem>.json`.

        Raises:
            CheckpointError: If there is no such file, or it cannot be read.
        """
        file = self._file(f"{stem}.json")
        try:
            return loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise CheckpointDamagedError(f"{file} is not a document: {error}. {ADVICE}") from error
        except OSError as error:
            raise _unreadable(file, error) from error

    def _file(self, name: str) -> Path:
        if name not in self.index.files:
            found = listing(self.index.files) or "no files"
            raise CheckpointError(f"{self.folder} holds no {name!r}; it has {found}. {ADVICE}")
        return self.folder / name


ADVICE = "Use an earlier checkpoint."


def read_checkpoint(folder: Path) -> Checkpoint:
    """Open a checkpoint after comparing every file with the index, its size and its digest.

    Raises:
        CheckpointDamagedError: If a file is missing, shortened or changed.
        CheckpointError: If it is not a checkpoint of ours, has a newer format, or cannot be read.
    """
    try:
        if not (folder / INDEX_FILE).is_file():
            raise CheckpointError(foreign(folder))
        index = Index.load(folder)
        index.check(folder, digests=True)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return Checkpoint(folder, index)


def foreign(folder: Path) -> str:
    """Say what a folder without an index is instead of a checkpoint.

    Raises:
        OSError: If it cannot be read.
    """
    if not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        near = listing(path.name for path in checkpoints(folder.parent)) or "none"
        return f"{folder}: expected the folder of a checkpoint, found {found}. Checkpoints beside it: {near}. Give one."
    if inside := checkpoints(folder):
        return (
            f"{folder} is a run's folder, not a checkpoint; its newest one is {inside[-1].name}. Give "
            f"{str(inside[-1])!r}, or resume_from_checkpoint=True."
        )
    stock = [name for name in _STOCK if (folder / name).is_file()]
    if stock:
        return (
            f"{folder} is a checkpoint of the stock Trainer of transformers (found {listing(stock)}), which does not "
            f"hold what several tasks need to go on. Give a checkpoint of hf_mtl, with {INDEX_FILE!r} in it, or "
            f"start anew with this one's weights as the model."
        )
    found = listing(path.name for path in folder.iterdir()) or "nothing"
    return (
        f"{folder} is not a whole checkpoint of hf_mtl: expected {INDEX_FILE!r} in it, found {found}. Give another "
        f"one; resume_from_checkpoint=True takes the newest whole one."
    )


def _unreadable(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"{error.filename or path} cannot be read: {error.strerror}. A checkpoint is read as a whole: give this user "
        f"the permission to read all of {path}, or look into its disk."
    )
