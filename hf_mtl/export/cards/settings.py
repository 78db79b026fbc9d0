"""Settings that differ from their defaults, as cards show them."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from peft import PeftConfig, PeftType

from hf_mtl.export.cards.facts import Setting

__all__ = ["AdapterSettings", "adapter_settings", "differing"]

# What an adapter's config says that is no setting of it.
_NO_SETTING = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version", "revision",
        "runtime_config", "task_type",
    }
)  # fmt: skip
_MANY_LAYERS = 10


class AdapterSettings(NamedTuple):
    """What a card says of an adapter's config; see `TaskFacts`."""

    peft_type: str
    rank: int | None
    served_by_vllm: bool
    settings: tuple[Setting, ...]


def adapter_settings(config: PeftConfig) -> AdapterSettings:
    """What an adapter's config says."""
    content, defaults = config.to_dict(), type(config)().to_dict()
    told = {
        name: value
        for name, value in content.items()
        if name not in _NO_SETTING and (value or defaults.get(name)) and value != defaults.get(name)
    }
    ranks = [content.get("r") or 0, *(content.get("rank_pattern") or {}).values()]
    assert isinstance(config.peft_type, PeftType)  # the config's class says it
    lora = config.peft_type is PeftType.LORA
    return AdapterSettings(
        peft_type=config.peft_type.value,
        rank=max(ranks) if lora else None,
        served_by_vllm=lora and not any(map(content.get, _NOT_FOR_VLLM)) and content.get("bias") == "none",
        settings=differing(
            {name: _shortened(value) for name, value in told.items()},
            {name: defaults.get(name) for name in told},
        ),
    )


def _shortened(value: object) -> object:
    """Of many layers' full names, the last part of each, once."""
    if not isinstance(value, list | set | tuple) or len(value) <= _MANY_LAYERS:
        return value
    last = sorted({str(each).rpartition(".")[2] for each in value})
    return f"{', '.join(last)} ({len(value)} layers)"


# vLLM refuses the first two; it does not know that a layer may have a rank or scale of its own.
_NOT_FOR_VLLM = ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication")


def differing(values: Mapping[str, object], defaults: Mapping[str, object]) -> tuple[Setting, ...]:
    """Those values that are not what they are by default, as text."""
    texts = [(name, _text(value), _text(defaults.get(name))) for name, value in values.items()]
    return tuple(
        Setting(name, value, default)
        for name, value, default in texts
        if value is not None and value != default
    )


def _text(value: object) -> str | None:
    """A value as a reader writes it; None for nothing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, Mapping):
        return json.dumps(value, default=str, sort_keys=True)
    return ", ".join(sorted(map(str, value))) if isinstance(value, Iterable) else str(value)
