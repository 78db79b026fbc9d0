"""Which weights are not decayed: those that the stock Trainer leaves out, by its own rule, and learned scales."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import nn
from transformers import Trainer

from hf_mtl.models import RoutedModel

__all__ = ["undecayed"]


def undecayed(trainer: Trainer, model: RoutedModel, adapters: Iterable[str]) -> set[nn.Parameter]:
    """The parameters that weight decay leaves alone: biases and norms of adapters and heads, and learned scales.

    `Trainer.get_decay_parameter_names` goes by the names that a parameter has in the model, as an adapter's file has
    them, and by the class of its module. A task's name is no part of that: 'bias-detection' is decayed like any other.
    The scale of a shared adapter in a route is a gain, as a norm's weight is one; decay would pull it towards leaving
    the shared adapter out.
    """
    layer_norms = {
        parameter
        for module in model.modules()
        if isinstance(module, nn.LayerNorm)
        for parameter in module.parameters(recurse=False)
    }
    found = {scale for route in model.routes for scale in model.route_parameters(route).values()}
    for adapter in adapters:
        named = model.adapter_parameters(adapter)
        decayed = set(Trainer.get_decay_parameter_names(trainer, _tree(named)))
        found |= {own for name, own in named.items() if name not in decayed or own in layer_norms}
    return found


def _tree(named: Mapping[str, nn.Parameter]) -> nn.Module:
    """Modules that have these parameters under these names."""
    root = nn.Module()
    for name, parameter in named.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in dict(module.named_children()):
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        module.register_parameter(last, parameter)
    return root
