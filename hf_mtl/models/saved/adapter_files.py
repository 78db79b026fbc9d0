"""One adapter's ordinary PEFT folder, read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftConfig
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from hf_mtl.errors import CheckpointError, listing

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "read_adapter_folder", "restore_parameters"]

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def read_adapter_folder(folder: Path) -> tuple[PeftConfig, dict[str, Tensor]]:
    """Read a PEFT folder.

    Raises:
        CheckpointError: If a file is missing or broken.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            found = listing(p.name for p in folder.iterdir()) if folder.is_dir() else "no such folder"
            raise CheckpointError(
                f"{folder}: a PEFT adapter needs {CONFIG_FILE!r} and {WEIGHTS_FILE!r}; found {found}."
            )
    try:
        config: PeftConfig = PeftConfig.from_pretrained(str(folder))
        tensors: dict[str, Tensor] = load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, json.JSONDecodeError, TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: the adapter cannot be read: {error}") from error
    return config, tensors


def restore_parameters(
    parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], *, where: str
) -> None:
    """Copy saved weights into parameters, after checking all of them.

    Raises:
        CheckpointError: If keys or shapes differ; then nothing has been changed.
    """
    if parameters.keys() != tensors.keys():
        missing, surplus = parameters.keys() - tensors.keys(), tensors.keys() - parameters.keys()
        raise CheckpointError(
            f"{where}: the weights do not fit the adapter's config; missing {listing(missing) or 'none'}, "
            f"surplus {listing(surplus) or 'none'}."
        )
    for key, parameter in parameters.items():
        if parameter.shape != tensors[key].shape:
            raise CheckpointError(
                f"{where}: {key} has the shape {list(tensors[key].shape)}; this base needs {list(parameter.shape)}."
            )
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(tensors[key])
