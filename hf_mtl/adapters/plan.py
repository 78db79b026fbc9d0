"""From any supported PEFT config to the updates that it makes, one kind per file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from peft import PeftConfig, PeftType
from torch import nn

from hf_mtl.adapter_limits import limit_problems
from hf_mtl.adapters.ia3 import plan_ia3
from hf_mtl.adapters.lora import plan_lora
from hf_mtl.adapters.prefix import plan_prefix
from hf_mtl.adapters.prompt import plan_prompt
from hf_mtl.adapters.repeated import planned_again, remember
from hf_mtl.adapters.update import AdapterPlan
from hf_mtl.errors import ConfigError
from hf_mtl.setting_bounds import adapter_problems

__all__ = ["KINDS", "check_limits", "plan_adapter"]

KINDS: Mapping[PeftType, Callable[[nn.Module, PeftConfig, int], AdapterPlan]] = MappingProxyType(
    {
        PeftType.LORA: plan_lora,
        PeftType.IA3: plan_ia3,
        PeftType.PREFIX_TUNING: plan_prefix,
        PeftType.PROMPT_TUNING: plan_prompt,
    }
)


def check_limits(config: PeftConfig) -> None:
    """Refuse a config that asks for more than any base can use, before PEFT makes or matches anything by it.

    Raises:
        ConfigError: With all that is too large or takes too long.
    """
    kind = type(config).__name__
    problems = [f"{kind}: {name}: {problem}" for name, problem in limit_problems(vars(config))]
    if problems:
        raise ConfigError(problems)


def plan_adapter(base: nn.Module, config: PeftConfig, *, seed: int) -> AdapterPlan:
    """Decide what an adapter changes in the base, and with which initial weights.

    Args:
        base: The base model, its layers unwrapped. It is left as it was.
        config: Any PEFT config object of a supported kind.
        seed: The initial weights depend on this seed alone, not on what else was created before.

    Raises:
        ConfigError: If the kind or one of its options is not supported, or no layer matches.
    """
    check_limits(config)
    kind = KINDS.get(PeftType(config.peft_type)) if config.peft_type else None
    if kind is None:
        name = PeftType(config.peft_type).value if config.peft_type else None
        raise ConfigError(
            f"{type(config).__name__} (peft_type {name!r}) is not supported; supported kinds are "
            f"{', '.join(kind.value for kind in KINDS)} (LORA with use_dora=True is DoRA)."
        )
    # A saved one, which is for inference, was checked as it was read; it may also be one that is subtracted.
    if not config.inference_mode and (problems := adapter_problems(config)):
        raise ConfigError(problems)
    if (again := planned_again(base, config, seed)) is not None:
        return again
    plan = kind(base, config, seed)
    remember(base, config, seed, plan)
    return plan
