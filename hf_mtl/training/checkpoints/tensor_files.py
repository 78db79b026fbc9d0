"""Tensors of any layout and under any key, in one safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hf_mtl.errors import CheckpointError, listing

__all__ = ["load_tensors", "save_tensors"]

_RESERVED = "__metadata__"  # safetensors keeps its own entry under this key


def save_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, each with its own values even where they share memory.

    Args:
        file: Replaced if it is there.
        tensors: Of any shape, stride and device. On the CPU they are written from where they lie, without a copy,
            unless they are not contiguous or share memory.

    Raises:
        CheckpointError: If a tensor has no plain values, or a dtype that safetensors does not know.
        OSError: If the file cannot be made.
        SafetensorError: If it cannot be written.
    """
    plain: dict[str, Tensor] = {}
    memories: set[int] = set()
    for key, tensor in tensors.items():
        values = _plain(tensor, where=f"{file.name}: {key!r}")
        memory = values.untyped_storage().data_ptr()
        plain[_stored_key(key)] = values.clone() if memory in memories else values
        memories.add(memory)
    file.touch()
    mode = file.stat().st_mode  # by the user's umask; safetensors makes files that only their owner reads
    try:
        save_file(plain, file, metadata={"format": "pt"})
    except KeyError as error:
        refused = listing(key for key, tensor in tensors.items() if tensor.dtype == error.args[0])
        raise CheckpointError(
            f"{file.name}: safetensors keeps no tensors of dtype {error.args[0]}; found {refused}. Save them in "
            f"another dtype."
        ) from error
    file.chmod(mode & 0o777)


def _plain(tensor: Tensor, *, where: str) -> Tensor:
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        kind = "meta" if tensor.is_meta else "quantised" if tensor.is_quantized else str(tensor.layout)
        raise CheckpointError(
            f"{where}: expected a tensor with plain values, found a {kind} one. Convert it first."
        )
    return tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()


def load_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a file, on the CPU, each in memory of its own.

    A view of the file would lie at any odd address, and some kernels round by how their input is aligned.

    Raises:
        OSError: If the file cannot be read.
        SafetensorError: If it is broken.
        ValueError: If a key is not of the form that `save_tensors` writes.
    """
    return {_key(stored): tensor.clone() for stored, tensor in load_file(file).items()}


def _stored_key(key: str) -> str:
    """Quote a key that safetensors could not hold (its reserved one, half a surrogate pair) or that looks quoted."""
    odd = key == _RESERVED or key.startswith('"') or any("\ud800" <= letter <= "\udfff" for letter in key)
    return json.dumps(key) if odd else key


def _key(stored: str) -> str:
    return str(json.loads(stored)) if stored.startswith('"') else stored
