"""One adapter's ordinary PEFT folder: the names of its files, and its weights put into parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from hf_mtl.errors import CheckpointError, listing
from hf_mtl.models.saved.checks import check_finite

__all__ = [
    "CONFIG_FILE",
    "GENERATION_FILE",
    "PROCESSOR_FILES",
    "WEIGHTS_FILE",
    "restore_parameters",
]

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
GENERATION_FILE = "generation_config.json"

# What tokenizers, image processors and feature extractors of transformers write. Only these names go out and come in:
# whatever else lies in a folder (optimizer states, training_args.bin, notes) is nobody's business.
PROCESSOR_FILES = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "vocab.bpe", "merges.txt", "bpe.codes", "spiece.model", "sentencepiece.bpe.model",
    "source.spm", "target.spm", "*.tiktoken", "chat_template.jinja", "chat_template.json",
    "additional_chat_templates/*.jinja", "preprocessor_config.json", "processor_config.json",
    "image_processor_config.json", "audio_tokenizer_config.json", "video_preprocessor_config.json",
)  # fmt: skip

_SHOWN = 5  # keys of a message


def restore_parameters(
    parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], *, where: str
) -> None:
    """Copy saved weights into parameters, after checking all of them.

    Raises:
        CheckpointError: If keys or shapes differ, or weights are not finite; then nothing has been changed.
    """
    if parameters.keys() != tensors.keys():
        missing, surplus = parameters.keys() - tensors.keys(), tensors.keys() - parameters.keys()
        raise CheckpointError(
            f"{where}: the weights do not fit the adapter's config on this base; missing {_some(missing)}, "
            f"surplus {_some(surplus)}.{_hint(missing, surplus)}"
        )
    for key, parameter in parameters.items():
        if parameter.shape != tensors[key].shape:
            raise CheckpointError(
                f"{where}: {key} has the shape {list(tensors[key].shape)}; this base needs {list(parameter.shape)}."
            )
    check_finite(parameters, tensors, where=where)
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(tensors[key])


def _some(keys: Collection[str]) -> str:
    shown = listing(sorted(keys)[:_SHOWN]) or "none"
    return shown if len(keys) <= _SHOWN else f"{shown} and {len(keys) - _SHOWN} more"


def _hint(missing: Collection[str], surplus: Collection[str]) -> str:
    """What the keys tell of the reason, where they do."""
    if any(".embed_tokens." in key or "embeddings.weight" in key or ".wte." in key for key in surplus):
        return " It brings an embedding of its own (a changed vocabulary), which one base for all tasks cannot have."
    if any(".modules_to_save." in key or ".default." in key for key in surplus):
        return " It was saved by hand, and not with save_pretrained: load it with PEFT and save it so."
    if missing and not surplus and not any("lora" in key or "ia3" in key for key in missing):
        return (
            " A part of its head was not saved: name that part in modules_to_save where the adapter is made."
        )
    return ""
