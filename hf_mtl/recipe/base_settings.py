"""The settings beside a base's weights: whether transformers will find an object in each of their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

__all__ = ["settings_problem"]

_FILES: Final = (
    "config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "preprocessor_config.json", "processor_config.json", "model.safetensors.index.json", "hf_mtl_base.json",
)  # fmt: skip


def settings_problem(folder: Path) -> str | None:
    """Say which file of settings of a model's folder is broken, if one is."""
    for name in _FILES:
        file = folder / name
        try:
            found: object = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except (OSError, ValueError, RecursionError) as error:
            return f"{str(file)!r} is not JSON that can be read: {error!s:.200}. {_ADVICE}"
        if not isinstance(found, dict):
            return f"{str(file)!r}: expected a JSON object, found {found!r:.60}. {_ADVICE}"
    return None


_ADVICE: Final = "Download or save the model again."
