"""Which layers an adapter changes is PEFT's decision, down to the last option.

`place` lets PEFT itself put an adapter on the base, takes the weights that it made, and gives the base back as it
was. So targets, patterns, layer choices, initialisations and `modules_to_save` mean exactly what they mean in PEFT,
and what we save is what PEFT would have saved.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import ModulesToSaveWrapper, set_additional_trainable_modules
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hf_mtl.adapters.saved_module import SavedLinear
from hf_mtl.adapters.update import AdapterPlan, LayerUpdate
from hf_mtl.errors import ConfigError, listing

__all__ = ["PLAN", "check_target", "full_weight", "place", "seeded", "unhonoured"]

_SHOWN = 1_000  # letters of an error
PLAN = "plan"  # the name under which PEFT places an adapter while it is planned

# How PEFT's warnings begin of patterns that match no layer: those of ranks and alphas are found here, with any version.
_UNMATCHED = r"The following \w+ keys did not match"
_NOTHING_EXCLUDED = r"You have passed exclude_modules=.* but no modules"

# Options of every PEFT config that name things, and change nothing in the computation.
_NAMING = {
    "peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "peft_version",
}  # fmt: skip


def unhonoured(config: PeftConfig, honoured: Collection[str], reasons: Mapping[str, str]) -> list[str]:
    """Name the options that are set and that this library does not honour: nothing is ever ignored.

    Args:
        config: The config.
        honoured: The options that are honoured.
        reasons: Why an option is not, where there is more to say than that it would have to be ignored.

    Returns:
        One message per option.
    """
    kind = type(config)
    defaults = vars(kind())
    return [
        f"{kind.__name__}({name}={value!r}) is not supported: {reasons.get(name, 'it would have to be ignored')}. "
        f"Leave it at {defaults[name]!r}."
        for name, value in ((field.name, vars(config)[field.name]) for field in dataclasses.fields(config))
        if name not in _NAMING and name not in honoured and value != defaults[name]
    ]


def full_weight(layer: nn.Module) -> Tensor:
    """The weight `[D_out, D_in]` of a frozen linear layer, de-quantised if it is quantised."""
    weight: Tensor = dequantize_module_weight(layer)
    return weight.t() if isinstance(layer, Conv1D) else weight


def check_target(path: str, layer: nn.Module) -> None:
    """Refuse a target that is not a linear layer.

    Raises:
        ConfigError: If it is an embedding, a convolution or something else.
    """
    if not isinstance(layer, nn.Linear | Conv1D):
        raise ConfigError(
            f"{path}: an adapter on a layer of type {type(layer).__name__} is not supported; target linear layers."
        )


def place(
    base: nn.Module,
    config: PeftConfig,
    seed: int,
    *,
    tuner: type[BaseTuner],
    take: Callable[[str, Any], LayerUpdate],  # Any: the tuner's own class of layers
) -> AdapterPlan:
    """Let PEFT place an adapter on the base, without leaving a trace on the base.

    Args:
        base: The base model, its layers unwrapped.
        config: The adapter's config; it is not changed.
        seed: The initial weights depend on this seed alone, not on what else was created before.
        tuner: PEFT's class for this kind.
        take: From a layer's path and PEFT's layer to our update of that layer.

    Returns:
        One update per changed layer, its weights in fp32 or wider.

    Raises:
        ConfigError: If PEFT cannot place it, or it changes something else than linear layers.
    """
    assert isinstance(base, PreTrainedModel)
    config = copy.deepcopy(config)
    with seeded(base, seed), _unwrapped_after(base), _pefts_warnings(config):
        try:
            tuner(base, {PLAN: config}, PLAN)
            set_additional_trainable_modules(base, config, base.config.to_dict(), PLAN)
        except RuntimeError as error:  # torch's, where a copy of integers shall require a gradient
            raise ConfigError(
                f"PEFT cannot place this {type(config).__name__}: {_cut(error)}. If modules_to_save names quantised "
                f"layers: a copy per adapter is supported for linear layers that are not quantised."
            ) from error
        except (TypeError, ValueError, Warning) as error:
            linear = {
                path.removesuffix(".base_layer").rpartition(".")[2]
                for path, layer in base.named_modules()
                if isinstance(layer, nn.Linear | Conv1D) and not path.endswith(f".{PLAN}")
            }
            raise ConfigError(
                f"PEFT cannot place this {type(config).__name__}: {_cut(error)} Linear layers of this base are called "
                f"{listing(linear)}."
            ) from error
        updates = {
            path: take(path, layer)
            for path, layer in base.named_modules()
            if isinstance(layer, BaseTunerLayer)
        }
        saved = {
            path: SavedLinear.copied(path, module.modules_to_save[PLAN])
            for path, module in base.named_modules()
            if isinstance(module, ModulesToSaveWrapper)
        }
    _check_saved(config, saved)
    _check_patterns(config, updates)
    return AdapterPlan(config, updates | saved)


def _cut(error: Exception) -> str:
    """What PEFT says, which repeats all names of the config."""
    text = str(error)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _check_saved(config: PeftConfig, saved: Collection[str]) -> None:
    missing = [
        name
        for name in vars(config).get("modules_to_save") or ()
        if not any(path.endswith(name) for path in saved)
    ]
    if missing:
        raise ConfigError(
            f"modules_to_save names {listing(missing[:20])}, which the base has no module for. Name linear layers, for "
            f"example 'lm_head'."
        )


def _check_patterns(config: PeftConfig, changed: Collection[str]) -> None:
    """Refuse patterns of ranks and alphas that match no layer, as PEFT matches them, which would ignore them.

    Raises:
        ConfigError: It names them.
    """
    for option in ("rank_pattern", "alpha_pattern") if not config.inference_mode else ():
        forms = {key: re.compile(rf"(.*\.)?({key})$") for key in vars(config).get(option) or ()}
        if odd := [key for key, form in forms.items() if not any(map(form.match, changed))]:
            layers = {path.rpartition(".")[2] for path in changed}
            raise ConfigError(
                f"{option} names {odd[:20]!r}, which match no layer that the adapter changes; those are called "
                f"{listing(layers)}."
            )


@contextlib.contextmanager
def seeded(base: nn.Module, seed: int) -> Iterator[None]:
    """Draw from a seed; the streams of the base's devices stay where they are."""
    devices = {p.device.index for p in base.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=[index for index in devices if index is not None]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _pefts_warnings(config: PeftConfig) -> Iterator[None]:
    """Raise PEFT's warning that nothing was excluded; hide two others.

    It sets `fan_in_fan_out` for each layer by the layer's type, which a user need not know.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to", UserWarning)
        warnings.filterwarnings("ignore", _UNMATCHED)
        if not config.inference_mode:
            warnings.filterwarnings("error", _NOTHING_EXCLUDED)
        yield


@contextlib.contextmanager
def _unwrapped_after(base: nn.Module) -> Iterator[None]:
    """Take everything off the base that PEFT put there, also where PEFT stopped half-way."""
    try:
        yield
    finally:
        for path, module in list(base.named_modules()):
            if isinstance(module, BaseTunerLayer):
                base.set_submodule(path, module.get_base_layer())
            elif isinstance(module, ModulesToSaveWrapper):
                base.set_submodule(path, module.original_module)
        vars(base).pop("peft_config", None)
