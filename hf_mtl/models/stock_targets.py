"""Layers that a config names as its stock class calls them, for a base that calls its trunk by another name.

`BertForTokenClassification` has `bert.encoder.layer.0...`, and the base under it, a `BertModel`, `encoder.layer.0...`:

>>> from peft import LoraConfig
>>> config = LoraConfig(target_modules=["bert.encoder.layer.0.attention.self.query"])
>>> shorten_targets(config, "bert.", frozenset()).target_modules
{'encoder.layer.0.attention.self.query'}
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable

from peft import PeftConfig

__all__ = ["drop_trunk", "shorten_targets"]

_LAYERS = ("target_modules", "exclude_modules", "feedforward_modules")
_BY_LAYER = ("rank_pattern", "alpha_pattern")
_ALL = "all-linear"


def shorten_targets(config: PeftConfig, trunk: str, paths: Iterable[str], own_trunk: str = "") -> PeftConfig:
    """The config, with the stock class's trunk taken from the layers that it names.

    Args:
        config: A config that may have been made for the stock class; it is not changed.
        trunk: What stands before the base's paths in the stock class, such as `"bert."`.
        paths: The paths of the stock class's modules.
        own_trunk: What stands before them in the base.
    """
    config = copy.deepcopy(config)
    options = vars(config)
    relative = [path.removeprefix(trunk) for path in paths if path.startswith(trunk) and path != trunk]
    for name in _LAYERS:
        pattern = options.get(name)
        if isinstance(pattern, str) and pattern != _ALL:
            options[name] = _chosen(pattern, trunk, own_trunk, relative)
    drop_trunk(config, trunk)
    return config


def drop_trunk(config: PeftConfig, trunk: str) -> None:
    """Take the trunk's name from the layers that a config lists by their paths."""
    options = vars(config)
    for name in _LAYERS:
        layers = options.get(name)
        if isinstance(layers, list | set):
            options[name] = type(layers)(path.removeprefix(trunk) for path in layers)
    for name in _BY_LAYER:
        if options.get(name):
            options[name] = {path.removeprefix(trunk): value for path, value in options[name].items()}


def _chosen(pattern: str, trunk: str, own_trunk: str, relative: Iterable[str]) -> str | set[str]:
    """The pattern, where it chooses the same layers of the base; else those layers."""
    theirs = {path for path in relative if re.fullmatch(pattern, trunk + path)}
    ours = {path for path in relative if re.fullmatch(pattern, own_trunk + path)}
    return pattern if theirs == ours or not theirs else theirs
