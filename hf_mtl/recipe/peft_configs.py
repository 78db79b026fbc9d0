"""From the `adapter` of a recipe's task to a peft configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from peft import IA3Config, LoraConfig, PeftConfig, PeftType, PrefixTuningConfig, PromptTuningConfig

from hf_mtl.adapter_limits import pattern_problems
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.recipe.settings import field_problems
from hf_mtl.setting_bounds import ADAPTERS
from hf_mtl.setting_bounds import adapter_problems as number_problems

__all__ = ["adapter_problems", "peft_config"]

_SUPPORTED: Mapping[str, type[PeftConfig]] = {
    PeftType.LORA.value: LoraConfig,
    PeftType.IA3.value: IA3Config,
    PeftType.PREFIX_TUNING.value: PrefixTuningConfig,
    PeftType.PROMPT_TUNING.value: PromptTuningConfig,
}
_ELSEWHERE = frozenset(
    {"auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version"}
)


def peft_config(adapter: Mapping[str, object]) -> PeftConfig:
    """Return the configuration that `adapter` describes.

    >>> peft_config({"r": 4, "target_modules": "all-linear"}).r
    4
    """
    kind, fields = _split(adapter)
    cls = _config_class(kind)
    if cls is None:
        raise ConfigError(_unknown_type(kind))
    known: dict[str, Any] = fields  # Any: the types are checked by `field_problems`
    return cls(**known)


def adapter_problems(adapter: Mapping[str, object], report: Callable[[str, str], None]) -> None:
    """Report what keeps `adapter` from being a peft configuration.

    Args:
        adapter: The fields of the configuration and `peft_type`.
        report: Takes a field's name (or "" for all of it) and what is wrong.
    """
    kind, fields = _split(adapter)
    cls = _config_class(kind)
    if cls is None:
        return report("peft_type", _unknown_type(kind))
    found: list[str] = []

    def note(name: str, text: str) -> None:
        found.append(name)
        report(name, text)

    for name, problem in pattern_problems(fields):
        note(name, problem)
    rest = {name: value for name, value in fields.items() if name not in found}
    field_problems(cls, rest, _ELSEWHERE, note, ADAPTERS)
    if not found:
        _construct(adapter, report)


def _construct(adapter: Mapping[str, object], report: Callable[[str, str], None]) -> None:
    try:
        config = peft_config(adapter)
    except (TypeError, ValueError) as error:
        return report("", f"peft refuses this configuration: {error}")
    for problem in number_problems(config):
        report("", problem)


def _split(adapter: Mapping[str, object]) -> tuple[object, dict[str, object]]:
    fields = dict(adapter)
    return fields.pop("peft_type", "LORA"), fields


def _config_class(kind: object) -> type[PeftConfig] | None:
    return _SUPPORTED.get(kind) if isinstance(kind, str) else None


def _unknown_type(kind: object) -> str:
    known = kind in [name.value for name in PeftType]
    what = f"peft_type {kind!r} is not supported yet." if known else f"unknown peft_type {kind!r}."
    return f"{what}{did_you_mean(str(kind).upper(), _SUPPORTED)} Supported: {listing(_SUPPORTED)}."
