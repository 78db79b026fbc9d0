"""One quantised GGUF file -> bf16 safetensors with a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["convert_gguf"]


def convert_gguf(source: Path, folder: Path) -> None:
    """Load the only GGUF file in `source` and save it as bf16 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    (name,) = (path.name for path in source.iterdir())
    tokenizer = AutoTokenizer.from_pretrained(str(source), gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(str(source), gguf_file=name, dtype=torch.float32)
    # The weights are plain now, but still marked as quantised: saving and the Trainer would refuse them.
    # (The ignores: attributes that the loader sets and no class declares.)
    model.is_quantized = False  # type: ignore[assignment]
    model.hf_quantizer = None  # type: ignore[assignment]
    del model.config.quantization_config
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # What describes the GGUF file or this load, not the model.
    _drop_keys(folder / "config.json", {"_model_name_or_path"})
    _drop_keys(folder / "tokenizer_config.json", {"is_local", "local_files_only"})


def _drop_keys(path: Path, keys: set[str]) -> None:
    content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in content.items() if key not in keys}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
