"""LoRAs of a config that the base has had before: the same layers, with the weights of another seed.

PEFT takes a millisecond and more for every layer that it wraps, so 300 tasks with one config on a base of 30 layers
would wait minutes for what differs in nothing but random numbers. These are drawn here as PEFT draws them. Whether
that is so is not assumed: the weights of the first adapter are drawn a second time and compared with PEFT's, bit by
bit; where they differ, every adapter goes through PEFT.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import ReferenceType, WeakKeyDictionary, ref

import torch
from peft import LoraConfig, PeftConfig
from torch import Tensor, nn

from hf_mtl.adapters.lora import LoraUpdate
from hf_mtl.adapters.placement import seeded
from hf_mtl.adapters.update import AdapterPlan

__all__ = ["planned_again", "remember"]

_MOST = 16  # configs that are remembered of a base


@dataclass(frozen=True)
class _Layer:
    """A layer that an adapter changes: where its weights are, and how it is updated."""

    module: ReferenceType[nn.Module]
    like: torch.Tensor  # of no elements: the device, and the dtype that PEFT's weights go through
    shape_A: torch.Size
    shape_B: torch.Size
    scale: float
    dropout: float

    def drawn(self) -> tuple[Tensor, Tensor]:
        """The next weights, as PEFT draws them: two layers of torch, then its own initialisation."""
        a, b = torch.empty(self.shape_A), torch.empty(self.shape_B)
        for weight in (a, b, a):
            # `nn.init.kaiming_uniform_(weight, a=math.sqrt(5))`, which takes as long to find the bound as to draw.
            bound = math.sqrt(3.0) * (math.sqrt(2.0 / (1 + math.sqrt(5) ** 2)) / math.sqrt(weight.shape[1]))
            weight.uniform_(-bound, bound)
        return a.to(self.like), b.zero_().to(self.like)


@dataclass(frozen=True)
class _Placement:
    """What PEFT made of a config: the config with everything resolved, and the layers in PEFT's order."""

    asked: LoraConfig
    resolved: PeftConfig
    layers: Mapping[str, _Layer]
    modules: int

    def fits(self, base: nn.Module, config: LoraConfig) -> bool:
        """Whether PEFT would wrap the same layers of the base again."""
        return (
            config == self.asked
            and sum(1 for _ in base.modules()) == self.modules
            and all(base.get_submodule(path) is layer.module() for path, layer in self.layers.items())
        )

    def updates(self, base: nn.Module, seed: int) -> dict[str, LoraUpdate]:
        """The updates with the weights of a seed."""
        with seeded(base, seed):
            return {
                path: LoraUpdate(*layer.drawn(), scale=layer.scale, dropout=layer.dropout, path=path)
                for path, layer in self.layers.items()
            }


_KNOWN: WeakKeyDictionary[nn.Module, list[_Placement]] = WeakKeyDictionary()


def planned_again(base: nn.Module, config: PeftConfig, seed: int) -> AdapterPlan | None:
    """The plan of an adapter whose config the base has had before; None if it has not, or PEFT draws otherwise.

    Args:
        base: The base model, its layers unwrapped.
        config: The adapter's config.
        seed: The initial weights depend on this seed alone.
    """
    if not isinstance(config, LoraConfig):
        return None
    for known in _KNOWN.get(base, ()):
        if known.fits(base, config):
            return AdapterPlan(copy.deepcopy(known.resolved), known.updates(base, seed))
    return None


def remember(base: nn.Module, config: PeftConfig, seed: int, plan: AdapterPlan) -> None:
    """Keep what PEFT made of a config, if the same can be drawn without it.

    Args:
        base: As in `planned_again`.
        config: As there.
        seed: That of the plan.
        plan: PEFT's plan.
    """
    layers: dict[str, _Layer] = {}
    if not isinstance(config, LoraConfig) or plan.virtual is not None:
        return
    for path, update in plan.updates.items():
        if type(update) is not LoraUpdate or update.lora_A.is_meta:
            return  # without values there is nothing to compare
        layers[path] = _layer(base.get_submodule(path), update)
    found = _Placement(
        copy.deepcopy(config), copy.deepcopy(plan.config), layers, sum(1 for _ in base.modules())
    )
    drawn = found.updates(base, seed)
    if all(_equal(plan.updates[path].file_parameters(), drawn[path].file_parameters()) for path in layers):
        _KNOWN[base] = [found, *_KNOWN.get(base, [])[: _MOST - 1]]


def _layer(module: nn.Module, update: LoraUpdate) -> _Layer:
    weight = module.get_parameter("weight")
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    like = torch.empty(0, dtype=dtype, device=update.lora_A.device)
    return _Layer(ref(module), like, update.lora_A.shape, update.lora_B.shape, update.scale, update.dropout)


def _equal(ones: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    return all(
        ones[name].dtype == others[name].dtype and torch.equal(ones[name], others[name]) for name in ones
    )
