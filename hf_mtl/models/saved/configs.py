"""The config of a saved adapter, from whoever wrote it: nothing of it is dropped that would change what is computed.

PEFT itself warns of fields that it does not know and goes on without them. Here such a field is refused, unless it is
off (null, false, empty), as options that a newer version has added and nobody has used are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
from peft import PeftConfig, PeftType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from hf_mtl.adapter_limits import MAX_RANK, MAX_VIRTUAL_TOKENS, pattern_problems
from hf_mtl.adapters import KINDS
from hf_mtl.bounded_json import read_json
from hf_mtl.errors import CheckpointError, SavedAdapterError, did_you_mean, listing
from hf_mtl.notices import logger_of

__all__ = ["SavedConfig", "read_config"]

logger = logger_of(__name__)

Json = Mapping[str, Any]  # Any: plain JSON

_SHOWN = 20  # problems of a config

_RANKS, _NUMBERS = ("r", "rank_pattern"), ("lora_alpha", "lora_dropout", "alpha_pattern")
_PATTERNS = ("target_modules", "exclude_modules", "feedforward_modules")  # where they are one text
_LISTS = (*_PATTERNS, "modules_to_save")

_STARTS = ("init_lora_weights",)  # true, false, or the name of a way

# Left out: how a library would find and import a class (never followed), and what concerns one process alone.
_LEFT_OUT = ("auto_mapping", "runtime_config")
# How the weights began, where that leaves the base alone: they are in the file now.
_BEGINNINGS = ("eva", "mica")


@dataclass(frozen=True)
class SavedConfig:
    """What a config file says.

    Args:
        config: As PEFT's object, for inference.
        base_class: The name of the class that the adapter was trained on, where the file tells; it is text, and
            nothing is imported by it.
    """

    config: PeftConfig
    base_class: str | None = None


def read_config(file: Path, *, where: str) -> SavedConfig:
    """Read an `adapter_config.json`.

    Args:
        file: The file.
        where: What messages call the adapter.

    Raises:
        CheckpointError: If it is no such file, or of a kind or with options that are not supported.
    """
    content = _read(file, where)
    kind = _kind(content, where)
    known = {field.name for field in dataclasses.fields(kind)}
    problems = [*_unknown(content, known, kind.__name__), *_absurd(content), *_odd_sorts(content, kind)]
    if problems:
        more = [f"... and {len(problems) - _SHOWN:,} more."] if len(problems) > _SHOWN else []
        raise SavedAdapterError([f"{where}: {problem}" for problem in [*problems[:_SHOWN], *more]])
    mapping = content.get("auto_mapping")
    base_class = mapping.get("base_model_class") if isinstance(mapping, dict) else None
    options = {key: value for key, value in content.items() if key in known and key not in _LEFT_OUT}
    options["inference_mode"] = True  # its weights come from the file, and not from what a config could name
    if str(options.get("init_lora_weights")).lower() in _BEGINNINGS:
        options |= {"init_lora_weights": True, "eva_config": None}
    try:
        config: PeftConfig = kind(**options)
    except (TypeError, ValueError, AttributeError, ImportError, OverflowError) as error:
        raise CheckpointError(f"{where}: {file.name} is not a config that PEFT takes: {error}") from error
    return SavedConfig(config, None if base_class is None else str(base_class))


def _read(file: Path, where: str) -> Json:
    try:
        content = read_json(file)
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except ValueError as error:
        raise CheckpointError(
            f"{where}: the adapter cannot be read: {file.name}: {error}. Fetch or save it again."
        ) from error
    return content


def _kind(content: Json, where: str) -> type[PeftConfig]:
    name = content.get("peft_type")
    supported = [kind.value for kind in KINDS]
    if name in supported:
        kind: type[PeftConfig] = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(name)]
        return kind
    version = _version(content)
    if name in [kind.value for kind in PeftType]:
        raise CheckpointError(
            f"{where}: the adapter's kind {name!r:.80} (peft_type) is not supported; supported are "
            f"{listing(supported)}."
        )
    raise CheckpointError(
        f"{where}: the adapter's kind {name!r:.80} (peft_type) is unknown to peft {peft.__version__}{version}; "
        f"supported are {listing(supported)}.{did_you_mean(str(name)[:80], supported)}"
    )


def _version(content: Json) -> str:
    made = content.get("peft_version")
    return f", and the file was written by peft {made!s:.40}" if made else ""


def _unknown(content: Json, known: set[str], kind: str) -> Iterator[str]:
    for name in sorted(content.keys() - known - set(_LEFT_OUT)):
        value = content[name]
        if value is None or value is False or value in ("", [], {}):
            logger.info("%s: %r is unknown and off in a saved adapter's config.", kind, name)
            continue
        yield (
            f"its config has {name:.80}={value!r:.80}, which {kind} of peft {peft.__version__} does not know"
            f"{_version(content)}. It may change what the adapter computes, so it is not left out. Upgrade peft and "
            f"hf-mtl; or, if you know that it changes nothing, take it out of the file."
        )


def _absurd(content: Json) -> Iterator[str]:
    """Values of a wrong type or size, before anything is made of them."""
    for name in _RANKS:
        for key, rank in _numbers(content, name):
            if type(rank) is not int or not 1 <= rank <= MAX_RANK:
                yield f"its config has {key}={rank!r:.80}; expected a rank from 1 to {MAX_RANK}."
    for name in _NUMBERS:
        for key, value in _numbers(content, name):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                yield f"its config has {key}={value!r:.80}; expected a finite number."
            elif name == "lora_dropout" and not 0 <= value <= 1:
                yield f"its config has {key}={value!r:.80}; expected a number from 0 to 1."
    tokens = content.get("num_virtual_tokens", 1)
    if type(tokens) is not int or not 1 <= tokens <= MAX_VIRTUAL_TOKENS:
        yield f"its config has num_virtual_tokens={tokens!r:.80}; expected a number from 1 to {MAX_VIRTUAL_TOKENS}."
    yield from _odd_names(content)
    yield from (f"its config has {name}: {problem}" for name, problem in pattern_problems(content))


def _odd_sorts(content: Json, kind: type[PeftConfig]) -> Iterator[str]:
    """Switches that are not booleans, and layer numbers, patterns and revisions of a wrong type."""
    for field in dataclasses.fields(kind):
        value = content.get(field.name, field.default)
        if isinstance(field.default, bool) and field.name not in _STARTS and not isinstance(value, bool):
            yield f"its config has {field.name}={value!r:.80}; expected true or false."
    layers = content.get("layers_to_transform")
    numbers = layers if isinstance(layers, list) else [layers]
    if layers is not None and not all(type(each) is int and each >= 0 for each in numbers):
        yield f"its config has layers_to_transform={layers!r:.80}; expected the number of a layer, or a list of some."
    for name in ("layers_pattern", "revision"):
        value = content.get(name)
        texts = value if isinstance(value, list) and name == "layers_pattern" else [value]
        if value is not None and not all(isinstance(each, str) for each in texts):
            yield f"its config has {name}={value!r:.80}; expected a text."


def _numbers(content: Json, name: str) -> Iterator[tuple[str, object]]:
    value = content.get(name)
    if name.endswith("_pattern"):
        value = {} if value is None else value
        if not isinstance(value, dict):
            yield name, value
            return
        yield from ((f"{name}[{key!r:.80}]", own) for key, own in value.items())
    elif name in content:
        yield name, value


def _odd_names(content: Json) -> Iterator[str]:
    """Names of layers that are no names, and patterns that are none."""
    for name in _LISTS:
        value = content.get(name)
        a_list = isinstance(value, list) and all(isinstance(own, str) for own in value)
        if value is not None and not a_list and not (isinstance(value, str) and name in _PATTERNS):
            yield f"its config has {name}={value!r:.60}; expected a list of names."
