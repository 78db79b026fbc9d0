"""The head that transformers' own class for a kind of task puts on a base of a given configuration."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from peft import TaskType
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from hf_mtl.errors import ConfigError
from hf_mtl.head_shapes import HeadShape

__all__ = ["StockHead", "stock_head"]

_CLASSES = {
    HeadShape.SEQUENCE: AutoModelForSequenceClassification,
    HeadShape.TOKEN: AutoModelForTokenClassification,
    HeadShape.SPAN: AutoModelForQuestionAnswering,
}
_TASK_TYPES = {
    HeadShape.SEQUENCE: TaskType.SEQ_CLS,
    HeadShape.TOKEN: TaskType.TOKEN_CLS,
    HeadShape.SPAN: TaskType.QUESTION_ANS,
}
_MOST_KEPT: Final = 4
_KEPT: Final[dict[tuple[str, type, str], PreTrainedModel]] = {}
# What PEFT itself adds to `modules_to_save` for these kinds; a base without a head has no such modules.
_IMPLIED = frozenset({"classifier", "score", "qa_outputs"})


@dataclass(frozen=True)
class StockHead:
    """A head as the stock class has it.

    Args:
        class_name: The stock class.
        auto_class: The auto class that gives it.
        task_type: What PEFT calls this kind of model; it has no name for image classification.
        trunk: What stands before the base's own paths in the stock class, such as `"bert."`.
        paths: The paths of all modules of the stock class.
        modules: The head's modules by name, in full precision and with the stock class's initialisation.
    """

    class_name: str
    auto_class: str
    task_type: TaskType | None
    trunk: str
    paths: frozenset[str]
    modules: Mapping[str, nn.Module]

    def path(self, own: str) -> str | None:
        """The stock class's name of a module of the base's trunk; None if that class has no such module."""
        path = self.trunk + own
        return path if path in self.paths else None

    def without_own(self, modules_to_save: list[str] | None) -> list[str] | None:
        """Of PEFT's `modules_to_save`, what is not the head itself."""
        kept = [n for n in modules_to_save or () if n not in self.modules and n not in _IMPLIED]
        return kept or None


def stock_head(
    config: PreTrainedConfig, shape: HeadShape, *, outputs: int, seed: int, images: bool = False
) -> StockHead:
    """Make the head for a base.

    Args:
        config: The base's configuration.
        shape: What the head gives its outputs for.
        outputs: The number of its outputs.
        seed: Its initial weights follow from this seed alone.
        images: Whether the base reads images.

    Raises:
        ConfigError: If transformers has no such class for this architecture.
    """
    auto = AutoModelForImageClassification if images else _CLASSES[shape]
    config = copy.deepcopy(config)
    config.num_labels = outputs
    config._attn_implementation = "eager"
    stock = _without_values(auto, config)
    trunk = stock.base_model
    beside = {"shared", "encoder", "decoder"} if trunk is stock else set()
    modules = {
        name: copy.deepcopy(module)
        for name, module in stock.named_children()
        if module is not trunk and name not in beside and not isinstance(module, nn.Dropout)
    }
    _initialise(stock, trunk, modules, seed)
    return StockHead(
        class_name=type(stock).__name__,
        auto_class=auto.__name__,
        task_type=None if images else _TASK_TYPES[shape],
        trunk="" if trunk is stock else f"{stock.base_model_prefix}.",
        paths=frozenset(name for name, _ in stock.named_modules()),
        modules=modules,
    )


def _without_values(
    auto: Any, config: PreTrainedConfig
) -> PreTrainedModel:  # Any: auto classes have no common type
    """The stock class on the meta device. The last ones are kept: making one takes as long as all its layers do."""
    key = auto.__name__, type(config), config.to_json_string(use_diff=False)
    stock = _KEPT.pop(key, None)
    if stock is None:
        try:
            with torch.device("meta"):
                stock = auto.from_config(config)
        except ValueError as error:
            raise ConfigError(
                f"transformers has no {auto.__name__} for the architecture {config.model_type!r}, so there is no head "
                f"of this kind for it."
            ) from error
    while len(_KEPT) >= _MOST_KEPT:
        del _KEPT[next(iter(_KEPT))]
    _KEPT[key] = stock
    return stock


def _initialise(
    stock: PreTrainedModel, trunk: nn.Module, modules: Mapping[str, nn.Module], seed: int
) -> None:
    """Give the head real weights; the trunk stays on the meta device, where drawing changes nothing but takes long."""
    own = copy.copy(stock)
    vars(own)["_modules"] = vars(stock)["_modules"] | modules
    for module in modules.values():
        module.to_empty(device="cpu").float()
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left_out = set() if trunk is stock else set(trunk.modules())
        for module in (module for module in own.modules() if module not in left_out):
            own._init_weights(module)  # the only door: some classes initialise their head from the outside
    for module in modules.values():
        module.requires_grad_(True)
