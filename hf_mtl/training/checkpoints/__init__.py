"""Checkpoints as files: each is whole or not there, whenever the process is killed.

A checkpoint is a folder of safetensors and JSON files (nothing in it is code) and an index, `checkpoint.json`, with
the size and digest of each. It is written under a hidden name and takes its place by one rename.

    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> temporary = tempfile.TemporaryDirectory()
    >>> run = Path(temporary.name)
    >>> with RunLock(run):
    ...     remove_partials(run)
    ...     for round_ in (2, 4, 6):
    ...         state = {"round": round_, "best": float("-inf")}
    ...         write_checkpoint(run / f"checkpoint-{round_}", {"weights": {"w": torch.ones(3)}}, {"state": state})
    ...     [folder.name for folder in rotate_checkpoints(run, 2, keep=[run / "checkpoint-2"])]
    ['checkpoint-4']
    >>> last = last_checkpoint(run)
    >>> last.name, read_checkpoint(last).document("state")
    ('checkpoint-6', {'round': 6, 'best': -inf})
    >>> temporary.cleanup()
"""

from hf_mtl.training.checkpoints.asked import asked_checkpoint
from hf_mtl.training.checkpoints.index import FORMAT_VERSION, INDEX_FILE
from hf_mtl.training.checkpoints.locks import RunLock
from hf_mtl.training.checkpoints.malformed import as_damage, form_problem
from hf_mtl.training.checkpoints.reading import ADVICE, Checkpoint, read_checkpoint
from hf_mtl.training.checkpoints.rotation import last_checkpoint, remove_partials, rotate_checkpoints
from hf_mtl.training.checkpoints.writing import write_checkpoint

__all__ = [
    "ADVICE",
    "FORMAT_VERSION",
    "INDEX_FILE",
    "Checkpoint",
    "RunLock",
    "as_damage",
    "asked_checkpoint",
    "form_problem",
    "last_checkpoint",
    "read_checkpoint",
    "remove_partials",
    "rotate_checkpoints",
    "write_checkpoint",
]
