"""One adapter as an ordinary PEFT folder, written."""

from __future__ import annotations

import copy
import json
import stat
from collections.abc import Mapping
from pathlib import Path

from peft import PeftConfig
from safetensors.torch import save_file
from torch import Tensor

from hf_mtl.bounded_json import read_json
from hf_mtl.files import make_folder, writing
from hf_mtl.models.saved import CONFIG_FILE, WEIGHTS_FILE

__all__ = ["write_adapter_folder"]

_SETS = ("target_modules", "exclude_modules", "feedforward_modules")  # of a config, whose order means nothing


def write_adapter_folder(
    folder: Path, config: PeftConfig, parameters: Mapping[str, Tensor], *, base: str | None
) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors`, as PEFT's own `save_pretrained` lays them out.

    Args:
        folder: Made if it is not there.
        config: The adapter's config with its targets resolved.
        parameters: The weights, keyed as in PEFT's files.
        base: What the adapter calls its base: its Hub id, or else the folder that it was loaded from.

    Raises:
        WriteError: If a file cannot be written.
    """
    make_folder(folder)
    config = copy.deepcopy(config)
    config.inference_mode = True
    config.base_model_name_or_path = base
    with writing(folder / CONFIG_FILE):
        config.save_pretrained(str(folder))
        _sort_targets(folder / CONFIG_FILE)
    tensors = {key: parameter.detach().cpu().clone().contiguous() for key, parameter in parameters.items()}
    with writing(folder / WEIGHTS_FILE):
        save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        # safetensors makes files that only their owner reads; the config beside it has the mode that the umask gives.
        (folder / WEIGHTS_FILE).chmod(stat.S_IMODE((folder / CONFIG_FILE).stat().st_mode))


def _sort_targets(file: Path) -> None:
    """PEFT keeps targets as a set, whose order changes from process to process; equal adapters shall be equal files."""
    content = read_json(file)
    names = [content[key] for key in _SETS if isinstance(content.get(key), list)]
    for targets in names:
        targets.sort()
    if names:
        file.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")
