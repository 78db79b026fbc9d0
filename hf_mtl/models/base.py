"""The base: where it comes from, and what its adapters will call it.

An adapter names its base by Hub id where one is known, and else by the folder that it was loaded from, as PEFT does.
Where weights are not the Hub's own (a converted or de-quantised copy), a file `hf_mtl_base.json` beside them says so,
and the fingerprint of the weights goes into every manifest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BaseImageProcessor,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hf_mtl.bounded_json import read_json
from hf_mtl.data.assets import resolve_asset
from hf_mtl.errors import CheckpointError, ConfigError, HfMtlError, listing
from hf_mtl.hub_host import token_stays
from hf_mtl.models.base_config import read_base_config
from hf_mtl.models.base_facts import BaseFacts
from hf_mtl.models.base_weights import BaseWeights
from hf_mtl.models.fingerprint import fingerprint
from hf_mtl.models.processors import read_image_processor, read_tokenizer, said
from hf_mtl.models.quantisation import quantisation_config, quantisation_note
from hf_mtl.paths import expanded, folders_in, is_file, is_folder, names_in
from hf_mtl.repo_ids import is_repo_id

__all__ = [
    "BaseIdentity",
    "empty_base",
    "facts_of",
    "identify",
    "load_base",
    "load_config",
    "load_processor",
    "load_tokenizer",
    "reads_images",
    "writes_text",
]

ORIGIN_FILE = "hf_mtl_base.json"
ASSET_PREFIX = "asset:"
ENCODERS = ("bert", "modernbert", "roberta")  # whose configuration alone does not say that they do not write
DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True)
class BaseIdentity:
    """What is known about the base's weights.

    Args:
        hub_id: The base's id on the Hub, or None if it has none.
        fingerprint: See `hf_mtl.models.fingerprint`.
        note: What a user should know about this copy, or None.
        source: Where the weights were loaded from: a Hub id, a folder or an asset.
    """

    hub_id: str | None
    fingerprint: str
    note: str | None = None
    source: str | None = None


def _located(source: str | Path) -> str:
    """The folder or Hub id that `source` stands for; assets are fetched."""
    text = str(source)
    if text.startswith(ASSET_PREFIX):
        return str(resolve_asset(text.removeprefix(ASSET_PREFIX)))
    path = expanded(text)
    if is_folder(path):
        if not is_file(path / "config.json"):
            raise ConfigError(
                f"The model folder {text!r} holds no config.json; it has {listing(names_in(path)) or 'nothing'}."
            )
        return str(path) if text.startswith("~") else text  # PEFT writes the text as it was given
    looks_like_path = isinstance(source, Path) or text.startswith(("/", ".", "~")) or text.count("/") > 1
    if looks_like_path:
        near = folders_in(path.parent)
        beside = f" Folders in {str(path.parent)!r}: {listing(near[:10])}." if near else ""
        raise ConfigError(
            f"There is no model folder {text!r}.{beside} Give a folder with config.json, a Hub id such as "
            f"'HuggingFaceTB/SmolLM2-135M-Instruct', or 'asset:NAME'."
        )
    return text


def _dtype(name: str | torch.dtype | None) -> torch.dtype | str:
    if isinstance(name, torch.dtype):
        return name
    if name is None or name == "auto":
        return "auto"
    if name not in DTYPES:
        raise ConfigError(f"dtype {name!r} is unknown; choose one of {listing(DTYPES)}.")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer that belongs to a Hub id, a folder or an asset."""
    return read_tokenizer(_located(source), shown=str(source))


def load_processor(source: str | Path) -> PreTrainedTokenizerBase | BaseImageProcessor:
    """Load the tokenizer or the image processor that belongs to a Hub id, a folder or an asset.

    Raises:
        ConfigError: If there is none.
    """
    try:
        images = reads_images(load_config(source))
    except ConfigError:
        images = False
    if images:
        return read_image_processor(_located(source), shown=str(source))
    return load_tokenizer(source)


def load_config(source: str | Path) -> PreTrainedConfig:
    """Load the configuration that belongs to a Hub id, a folder or an asset.

    Raises:
        ConfigError: If there is none.
    """
    try:
        with token_stays():
            return read_base_config(_located(source))
    except HfMtlError:
        raise
    except Exception as error:  # whatever broken files make of it
        raise ConfigError(f"No configuration could be loaded from {str(source)!r}: {said(error)}") from error


def facts_of(config: PreTrainedConfig) -> BaseFacts:
    """What a configuration says about reading rows.

    Raises:
        ConfigError: If a value is missing, or none that is read there.
    """
    try:
        return BaseFacts.of(config.to_dict(), images=reads_images(config), writes=writes_text(config))
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise ConfigError(
            f"The config.json of this {config.model_type} model does not say how its inputs are read: "
            f"{type(error).__name__}: {error}. Download or save the model again."
        ) from error


def writes_text(config: PreTrainedConfig) -> bool:
    """Whether `load_base` loads a base of this configuration with a vocabulary head."""
    return _auto_class(config) is not AutoModel


def reads_images(config: PreTrainedConfig) -> bool:
    """Whether there is an image classifier on this configuration."""
    return MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING.get(type(config), None) is not None


def _auto_class(config: PreTrainedConfig) -> Any:  # Any: transformers' auto classes have no common type
    """What a base is loaded as: with its vocabulary head where it can write, else without a head."""
    if config.is_encoder_decoder:
        return AutoModelForSeq2SeqLM
    encoder = config.model_type in ENCODERS or reads_images(config)
    return AutoModel if encoder else AutoModelForCausalLM


def load_base(
    source: str | Path,
    *,
    dtype: str | torch.dtype | None = None,
    hub_id: str | None = None,
    quantization: str | BitsAndBytesConfig | None = None,
    revision: str | None = None,
    token: str | None = None,
    allow_pickle: bool = False,
) -> tuple[PreTrainedModel, BaseIdentity]:
    """Load a base and say what it is.

    A decoder and an encoder-decoder come with their vocabulary head, encoders of texts and images without a head.

    Args:
        source: A Hub id, a folder, or `asset:NAME` for a model that ships in a package
            (`hf_mtl.data.assets`).
        dtype: `"float32"`, `"bfloat16"`, ...; `"auto"` or None keeps that of the files.
        hub_id: The id that the adapters shall name; default: what the folder itself says, or the Hub id it
            came from.
        quantization: `"4bit"` (nf4 with double quantisation), `"8bit"`, or bitsandbytes settings of your own;
            needs `pip install 'hf-mtl[4bit]'`. Default: as the files are.
        revision: The branch, tag or commit of a Hub id; default: the main branch.
        token: For a private repository on the Hub; default: that of `hf auth login`.
        allow_pickle: Whether to read weights that are pickles (`pytorch_model.bin`), where there are no safetensors;
            torch reads them with `weights_only=True`.

    Returns:
        The model, on the CPU, and its identity.

    Raises:
        ConfigError: If there is no such model, it cannot be loaded, or its weights are pickles that are not allowed;
            those are neither downloaded nor opened.
    """
    located = _located(source)
    if revision is not None and Path(located).is_dir():
        raise ConfigError(
            f"revision={revision!r} is of a Hub id, and {str(source)!r} is a folder. Leave it out."
        )
    pinned = {"revision": revision or "main", "token": token}
    options: dict[str, Any] = {**pinned, "trust_remote_code": False}  # Any: what transformers takes
    wanted = _dtype(dtype)
    with _explained(str(source)), token_stays(token):
        config: Any = read_base_config(located, **pinned)  # Any: its fields differ by architecture
        weights = BaseWeights.find(
            located,
            config,
            where=str(source),
            revision=revision or "main",
            token=token,
            allow_pickle=allow_pickle,
        )
        if quantization is not None:
            own = wanted if isinstance(wanted, torch.dtype) else config.dtype
            options["quantization_config"] = quantisation_config(quantization, own)
        options |= {"dtype": wanted, **weights.options}
        model: PreTrainedModel = _auto_class(config).from_pretrained(weights.source, **options)
        if weights.source != located:
            model.name_or_path = model.config.name_or_path = located
        return model, identify(model, source=str(source), hub_id=hub_id)


def empty_base(source: str | Path) -> PreTrainedModel:
    """The modules of a base without its weights, on the meta device: its layers have names and shapes, and no values.

    Raises:
        ConfigError: As `load_base`, of all but the weights.
    """
    with _explained(str(source)), token_stays(), torch.device("meta"):
        config = read_base_config(_located(source))
        model: PreTrainedModel = _auto_class(config).from_config(config, trust_remote_code=False)
    return model


@contextmanager
def _explained(source: str) -> Iterator[None]:
    """Raise what loading a base raises as a `ConfigError` that says what to do."""
    try:
        yield
    except ImportError as error:  # such as a base that was saved quantised
        raise ConfigError(f"The model {source!r} needs a package that is not installed: {error}") from error
    except CheckpointError as error:
        raise ConfigError(_not_loaded(source, error)) from error
    except HfMtlError:
        raise
    except Exception as error:  # whatever broken files make of it
        raise ConfigError(_not_loaded(source, error)) from error


def _not_loaded(source: str, error: Exception) -> str:
    return (
        f"The model {source!r} could not be loaded: {said(error)}\n"
        f"Check the id, the network and the access rights, or give a folder that holds the model."
    )


def identify(model: PreTrainedModel, *, source: str | None = None, hub_id: str | None = None) -> BaseIdentity:
    """Say what a loaded model is; must be called before adapters are attached."""
    loaded_from = model.name_or_path or ""
    origin: dict[str, str] = {}
    file = Path(loaded_from) / ORIGIN_FILE
    if loaded_from and file.is_file():
        try:
            origin = dict(read_json(file))
            if odd := [key for key in ("hub_id", "note") if not isinstance(origin.get(key), str | None)]:
                raise ValueError(f"{odd[0]} is {origin[odd[0]]!r:.60}; expected a text")
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"{file} should say where the base comes from, but cannot be read: {error}"
            ) from error
    is_hub_id = is_repo_id(loaded_from) and not Path(loaded_from).exists()
    return BaseIdentity(
        hub_id=hub_id or origin.get("hub_id") or (loaded_from if is_hub_id else None),
        fingerprint=fingerprint(model),
        note="; ".join(filter(None, (origin.get("note"), quantisation_note(model)))) or None,
        source=source or (loaded_from if is_hub_id or (loaded_from and Path(loaded_from).is_dir()) else None),
    )
