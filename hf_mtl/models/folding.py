r"""A weighted sum of LoRAs as one plain LoRA of the summed rank.

.. math:: \sum_i w_i s_i B_i A_i = [w_1 s_1 B_1, w_2 s_2 B_2, \dots] \, [A_1; A_2; \dots]

Exact: nothing is decomposed or rounded but the products with the weights. Scales and weights go into `B`, so the
folded adapter's own scale is 1.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch
from peft import LoraConfig, PeftConfig
from torch import Tensor

from hf_mtl.adapters import LayerUpdate, LoraUpdate

__all__ = ["fold"]

Addend = tuple[PeftConfig, Mapping[str, LayerUpdate], float]
"""An adapter's config, its updates by the layers' paths, and its weight."""


def fold(
    addends: Sequence[Addend], file_path: Callable[[str], str | None]
) -> tuple[LoraConfig, dict[str, Tensor]]:
    """Add LoRAs up.

    Args:
        addends: At least one; all their updates are LoRA's.
        file_path: From a layer's path in the base to that in the class that the files are for; None leaves it out.

    Returns:
        The config, and the parameters keyed as in PEFT's files.
    """
    parts: dict[str, list[tuple[LoraUpdate, float]]] = {}
    for _, updates, weight in addends:
        for path, update in updates.items():
            place = file_path(path)
            if place is not None:
                assert isinstance(update, LoraUpdate)
                parts.setdefault(place, []).append((update, weight * update.scale))
    parameters: dict[str, Tensor] = {}
    for place, own in parts.items():
        key = f"base_model.model.{place}"
        parameters[f"{key}.lora_A.weight"] = torch.cat([update.lora_A.detach() for update, _ in own])
        scaled = [scale * update.lora_B.detach() for update, scale in own]
        parameters[f"{key}.lora_B.weight"] = torch.cat(scaled, dim=1)
    ranks = {place: sum(update.lora_A.shape[0] for update, _ in own) for place, own in parts.items()}
    return _config([config for config, _, _ in addends], ranks), parameters


def _config(configs: Sequence[PeftConfig], ranks: Mapping[str, int]) -> LoraConfig:
    """A config with these ranks; targets stay as the addends have them, where these agree."""
    config = copy.deepcopy(configs[0])
    assert isinstance(config, LoraConfig)
    usual = Counter(ranks.values()).most_common(1)[0][0]
    others = {place: rank for place, rank in ranks.items() if rank != usual}
    config.r = config.lora_alpha = usual
    config.rank_pattern, config.alpha_pattern = others, dict(others)
    config.use_rslora = False
    targets = [vars(other)["target_modules"] for other in configs]
    if any(target != targets[0] for target in targets):
        config.target_modules = list(ranks)
        config.layers_to_transform = config.layers_pattern = config.exclude_modules = None
    return config
