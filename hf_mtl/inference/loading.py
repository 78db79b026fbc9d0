"""A saved suite, opened to answer: its model, its tokenizer or image processor, and what is known of its tasks."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoImageProcessor, AutoTokenizer

from hf_mtl.errors import CheckpointError
from hf_mtl.models import RoutedModel, load_base, load_processor
from hf_mtl.models.saved import Manifest, read_adapter_folder, restore_parameters
from hf_mtl.tasks import Processor

__all__ = ["load_model", "load_saved_processor"]


def load_model(
    folder: Path,
    manifest: Manifest,
    *,
    base: str | Path | None,
    dtype: str | None,
    quantization: str | None,
) -> RoutedModel:
    """The base of a saved suite with all its adapters.

    Raises:
        CheckpointError: If a part is missing or broken, or the base is not the one of the adapters.
    """
    identity, source = manifest.base, base or manifest.base.source or manifest.base.hub_id
    if source is None:
        raise CheckpointError(f"{folder}: the manifest names no base that could be loaded; pass base=... .")
    loaded, found = load_base(source, dtype=dtype, hub_id=identity.hub_id, quantization=quantization)
    if found.fingerprint != identity.fingerprint:
        raise CheckpointError(
            f"{folder}: the adapters were trained on a base with the fingerprint {identity.fingerprint}, but "
            f"{str(source)!r} has {found.fingerprint}; pass the right one as base=... ."
        )
    model = RoutedModel(loaded, identity=found)
    for name, place in manifest.tasks.items():
        config, tensors = read_adapter_folder(folder / place)
        head = manifest.heads.get(name)
        if head is not None:
            config.task_type = None  # of the head's class, which the head gives it again
        model.add_adapter(name, config, head=None if head is None else head.spec)
        if head is not None and head.labels is not None:
            model.labels[name] = head.labels
        restore_parameters(model.adapter_parameters(name), tensors, where=str(folder / place))
    return model


def load_saved_processor(folder: Path, manifest: Manifest, source: str | Path) -> Processor:
    """What was saved beside the adapters, which may have a chat template of its own; else what the base comes with."""
    for place in manifest.tasks.values():
        if (folder / place / "tokenizer_config.json").is_file():
            tokenizer: Processor = AutoTokenizer.from_pretrained(folder / place)
            return tokenizer
        if (folder / place / "preprocessor_config.json").is_file():
            images: Processor = AutoImageProcessor.from_pretrained(folder / place)
            return images
    return load_processor(source)
