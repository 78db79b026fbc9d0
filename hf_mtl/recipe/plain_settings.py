"""Sections of a recipe that are right for certain, recognised without the libraries that they are for.

The classes of transformers and peft know which settings go together, and importing them takes longer than all other
checks of a recipe. The settings here are right whatever stands beside them, by themselves and together
(tests/recipe/test_plain_settings.py puts them to the classes). Every other section is put to its class.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

from hf_mtl.adapter_limits import MAX_RANK, limit_problems
from hf_mtl.bounds import MOST_WHOLE, impossible

__all__ = ["PLAIN_ARGUMENTS", "PLAIN_LORA", "fits_any_base", "is_plain_lora", "is_plain_training"]

_LARGEST_SEED: Final = 2**32 - 1  # of numpy

Check: TypeAlias = Callable[[object], bool]


def _whole(least: int, most: int = MOST_WHOLE) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(least: float, below: float = math.inf) -> Check:
    return lambda value: (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and impossible(value) is None
        and least <= value < below
    )


def _above_zero(value: object) -> bool:
    return _number(0)(value) and value != 0


def _one_of(*choices: str) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def _truth(value: object) -> bool:
    return isinstance(value, bool)


def _modules(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name for name in names)


PLAIN_ARGUMENTS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "adam_beta1": _number(0, 1),
        "adam_beta2": _number(0, 1),
        "adam_epsilon": _above_zero,
        "data_seed": _whole(0, _LARGEST_SEED),
        "eval_steps": _whole(1),
        "eval_strategy": _one_of("no", "steps", "epoch"),
        "gradient_accumulation_steps": _whole(1),
        "gradient_cosines": _truth,
        "isolation": _one_of("required", "relaxed"),
        "learning_rate": _above_zero,
        "logging_first_step": _truth,
        "logging_steps": _whole(1),
        "lr_scheduler_type": _one_of("constant", "constant_with_warmup", "cosine", "linear"),
        "max_grad_norm": _number(0),
        "max_steps": _whole(1),
        "num_train_epochs": _above_zero,
        "per_device_train_batch_size": _whole(1),
        "report_to": _one_of("none"),
        "save_steps": _whole(1),
        "save_strategy": _one_of("no", "steps", "epoch"),
        "save_total_limit": _whole(1),
        "seed": _whole(0, _LARGEST_SEED),
        "token_budget": _whole(1024),  # a chunk has so many tokens at most
        "use_cpu": _truth,
        "warmup_steps": _number(0),
        "weight_decay": _number(0),
    }
)
"""Training arguments by name, with the values that are right beside any others of these."""

PLAIN_LORA: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "lora_alpha": _whole(1),
        "lora_dropout": _number(0, 1),
        "peft_type": _one_of("LORA"),
        "r": _whole(1, MAX_RANK),
        "target_modules": _modules,
        "use_rslora": _truth,
    }
)
"""Fields of a `LoraConfig`, in the same way."""

_SURROUNDINGS: Final = (
    "ACCELERATE_", "FSDP_", "KUBEFLOW_", "LOCAL_RANK", "MV2_", "OMPI_", "PMI_", "RANK", "SM_", "WORLD_SIZE",
)  # fmt: skip
"""Beginnings of environment variables that make other training arguments of the same section."""


def is_plain_training(values: Mapping[str, object], optimizers: Iterable[str | None]) -> bool:
    """Whether the section `training` is right for certain.

    Args:
        values: The section.
        optimizers: What each task asks for as its own `optim`.
    """
    return (
        _is_plain(values, PLAIN_ARGUMENTS)
        and not any(optimizers)
        and not any(name.startswith(_SURROUNDINGS) for name in os.environ)
        and _has_at_most_one_gpu()
    )


def is_plain_lora(adapter: Mapping[str, object]) -> bool:
    """Whether the section `adapter` of a task is a right `LoraConfig` for certain.

    >>> is_plain_lora({"r": 8, "target_modules": "all-linear"}), is_plain_lora({"r": 0})
    (True, False)
    """
    return _is_plain(adapter, PLAIN_LORA) and not any(limit_problems(adapter))


def fits_any_base(adapter: Mapping[str, object]) -> bool:
    """Whether every base of texts takes the adapter for certain.

    >>> fits_any_base({}), fits_any_base({"r": 8, "target_modules": ["q_proj"]})
    (True, False)
    """
    everywhere = adapter.get("target_modules") == "all-linear" if adapter else True
    return everywhere and is_plain_lora(adapter)


def _is_plain(values: Mapping[str, object], known: Mapping[str, Check]) -> bool:
    return all(name in known and known[name](value) for name, value in values.items())


def _has_at_most_one_gpu() -> bool:
    """Whether that is certain without torch: a process that sees several is refused."""
    if sys.platform != "linux":
        return sys.platform == "darwin"
    devices = Path("/dev")
    nvidia = list(devices.glob("nvidia[0-9]*"))
    amd = list(devices.glob("dri/renderD*")) if (devices / "kfd").exists() else []
    return (
        max(len(nvidia), len(amd)) < 2 and not (devices / "dxg").exists()
    )  # dxg: Windows beneath, which counts
