"""Which assets a recipe names, wherever in it: so that they can be fetched before it runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hf_mtl.data import ASSET_PREFIX, ASSETS
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.recipe.document import Document, KeyPath, read_document

__all__ = ["assets_of", "named_assets"]


def named_assets(recipe: str | Path) -> list[str]:
    """Return the names behind every `asset:` of a recipe, each once, in the order of the file.

    Only the file's form is read, so a recipe whose data is not there yet is no hindrance.

    Raises:
        ConfigError: If there is no such file, it cannot be read, or it names assets that do not exist.
    """
    document = read_document(Path(recipe))
    found = assets_of(document)
    problems = [
        document.problem(
            path, f"unknown asset {name!r}.{did_you_mean(name, ASSETS)} Valid: {listing(ASSETS)}."
        )
        for path, name in found
        if name not in ASSETS
    ]
    if problems:
        raise ConfigError(problems)
    return list(dict.fromkeys(name for _, name in found))


def assets_of(document: Document) -> list[tuple[KeyPath, str]]:
    """Return every asset that a recipe names, known or not, with the place where it does."""
    return [(path, text.removeprefix(ASSET_PREFIX)) for path, text in _texts(document.data, ())]


def _texts(data: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(data, str) and data.startswith(ASSET_PREFIX):
        yield path, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _texts(value, (*path, key))
    elif isinstance(data, list):
        for place, value in enumerate(data):
            yield from _texts(value, (*path, place))
