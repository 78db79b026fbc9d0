"""The tokenizer or the image processor that a saved suite answers with."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoImageProcessor, AutoTokenizer

from hf_mtl.models import RoutedModel, load_processor
from hf_mtl.models.saved import MANIFEST_FILE, Manifest
from hf_mtl.tasks import Processor

__all__ = ["processor_for"]


def processor_for(model: RoutedModel, suite: str | Path) -> Processor:
    """What was saved beside a folder's adapters, which may have a chat template of its own; else what the base has."""
    folder = Path(suite)
    if (folder / MANIFEST_FILE).is_file():
        for place in Manifest.load(folder).tasks.values():
            if (folder / place / "tokenizer_config.json").is_file():
                tokenizer: Processor = AutoTokenizer.from_pretrained(folder / place)
                return tokenizer
            if (folder / place / "preprocessor_config.json").is_file():
                images: Processor = AutoImageProcessor.from_pretrained(folder / place)
                return images
    own = model.identity
    return load_processor(own.source or own.hub_id or str(model.base.name_or_path))
