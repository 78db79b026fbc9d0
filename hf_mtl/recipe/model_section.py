"""The section `model` of a recipe, where a text alone stands for it: `model: ./folder`, `model: owner/name`."""

from __future__ import annotations

from pathlib import Path

from hf_mtl.recipe.document import Document
from hf_mtl.recipe.schema import ASSET_PREFIX

__all__ = ["with_model_section"]

_MODEL = "model"


def with_model_section(document: Document) -> Document:
    """The document with the section that a bare text stands for: `source` if it is a folder or an asset, else `id`."""
    text = document.data.get(_MODEL)
    if not isinstance(text, str):
        return document
    key = "source" if _is_source(text, document.path.parent) else "id"
    place = document.places.get((_MODEL,), document.path.name)
    places = {**document.places, (_MODEL, key): place}
    return Document(document.path, {**document.data, _MODEL: {key: text}}, places, document.problems)


def _is_source(text: str, folder: Path) -> bool:
    """As for models in Python: what is here goes before the Hub, and what can be no Hub id is a path."""
    if text.startswith((ASSET_PREFIX, "/", ".", "~")) or text.count("/") > 1 or "\\" in text:
        return True
    return bool(text) and (folder / text).is_dir()
