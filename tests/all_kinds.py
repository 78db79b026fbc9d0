"""One adapter of every kind for any base, and a batch in which all of them meet rows of the bare base."""

from __future__ import annotations

from typing import Any

from peft import IA3Config, LoraConfig, PeftConfig, PrefixTuningConfig, PromptTuningConfig
from plain_peft import shake
from tiny_bases import Case, make_sequence
from transformers import PreTrainedModel

from hf_mtl.data import Sequence
from hf_mtl.models import RoutedModel
from hf_mtl.models.layouts import architecture_of

__all__ = ["ABSENT", "BARE", "adapters_for", "mixed_model", "mixed_sequences"]

BARE, ABSENT = "bare", "absent"  # rows of the bare base; an adapter that no row uses


def _lora(case: Case, targets: list[str] | None = None, **options: Any) -> LoraConfig:
    """On the given layers, or on all linear ones, as the case has it."""
    given: dict[str, Any] = (
        {"r": 4, "lora_alpha": 8, "init_lora_weights": False} | dict(case.adapter) | options
    )
    return LoraConfig(
        **(given if targets is None else given | {"target_modules": targets, "exclude_modules": None})
    )


def adapters_for(case: Case, *, quantised: int = 0) -> dict[str, PeftConfig]:
    """One adapter or two of each kind that a base can have.

    Args:
        case: The base.
        quantised: To how many bits it is, or 0: an 8-bit base can have no DoRA, a quantised layer no copy.
    """
    layers = case.layers
    attention, feedforward = list(layers.attention), layers.feedforward
    heads = [] if layers.head is None else [layers.head]
    kinds: dict[str, PeftConfig] = {
        "lora of 4": _lora(case),
        "lora of 16": _lora(case, [layers.other, *heads], r=16),
        "dora": _lora(case, [*attention, layers.other, *heads], use_dora=True),
        "ia3": IA3Config(
            target_modules=[*attention, feedforward],
            feedforward_modules=[feedforward],
            fan_in_fan_out="fan_in_fan_out" in dict(case.adapter),
        ),
        "own copy": _lora(case, attention, modules_to_save=heads if quantised else [feedforward, *heads]),
        "prefix of 5": PrefixTuningConfig(num_virtual_tokens=5),
        "prefix of 9": PrefixTuningConfig(num_virtual_tokens=9),
        "prompt": PromptTuningConfig(num_virtual_tokens=3),
    }
    if quantised == 8:
        del kinds["dora"]
    refused = architecture_of(case.base()).refused
    return {name: config for name, config in kinds.items() if config.peft_type not in refused}


def mixed_model(base: PreTrainedModel, adapters: dict[str, PeftConfig]) -> RoutedModel:
    """The base with all adapters, a route `BARE` without any, and an adapter `ABSENT`, all weights moved."""
    model = RoutedModel(base)
    for i, (name, config) in enumerate({**adapters, ABSENT: adapters["ia3"]}.items()):
        model.add_adapter(name, config)
        shake(model, name, seed=i)
    model.add_route(BARE, {})
    return model


def mixed_sequences(case: Case, names: list[str]) -> list[Sequence]:
    """Rows of different lengths, every adapter at least once, some twice, and two of the bare base."""
    routes = [*names, BARE, *names[::2], BARE]
    return [make_sequence(case, route, 6 + 3 * i % 8, row=i) for i, route in enumerate(routes)]
