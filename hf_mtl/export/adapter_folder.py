"""One adapter as an ordinary PEFT folder, written and read."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hf_mtl.errors import CheckpointError, listing

__all__ = ["CONFIG_FILE", "WEIGHTS_FILE", "read_adapter_folder", "restore_parameters", "write_adapter_folder"]

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

_SETS = ("target_modules", "exclude_modules", "feedforward_modules")  # of a config, whose order means nothing


def write_adapter_folder(
    folder: Path, config: PeftConfig, parameters: Mapping[str, Tensor], *, base_hub_id: str | None
) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`, as PEFT's own `save_pretrained` lays them out.

    Args:
        folder: Made if it is not there.
        config: The adapter's config with its targets resolved.
        parameters: The weights, keyed as in PEFT's files.
        base_hub_id: What the adapter calls its base; never a path of this machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = copy.deepcopy(config)
    config.inference_mode = True
    config.base_model_name_or_path = base_hub_id
    config.save_pretrained(str(folder))
    _sort_targets(folder / CONFIG_FILE)
    tensors = {key: parameter.detach().cpu().clone().contiguous() for key, parameter in parameters.items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _sort_targets(file: Path) -> None:
    """PEFT keeps targets as a set, whose order changes from process to process; equal adapters shall be equal files."""
    content = json.loads(file.read_text(encoding="utf-8"))
    names = [content[key] for key in _SETS if isinstance(content.get(key), list)]
    for targets in names:
        targets.sort()
    if names:
        file.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


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
