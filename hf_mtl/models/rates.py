"""The rates at which a base drops or disturbs its own activations: found by their names on its modules, and set to 0.

A base's masks come from the process's random stream, so that they would change with whatever was computed before: with
the other tasks. Such a rate is an `nn.Dropout`, or a number that a module hands to `nn.functional.dropout`, compares
with a draw (layerdrop) or gives to its drop path. None of them has a say in evaluation, so what the base computes there
stays the same; hf_mtl.models.probes shows for each base that nothing random is left in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from transformers import PreTrainedConfig, PreTrainedModel

from hf_mtl.notices import logger_of

__all__ = ["switch_dropout_off", "switch_noise_off"]

logger = logger_of(__name__)

_DROPS = ("drop",)  # dropout, attention_dropout, activation_dropout, layerdrop, drop_prob, drop_path, ...
_NOISES = ("jitter", "noise")  # of routers and positions; some have a say in evaluation too

Undo = Callable[[], None]


def switch_dropout_off(base: PreTrainedModel) -> None:
    """Switch off the base's own dropout, layerdrop and drop path, and say so where there was any."""
    layers = [module for module in base.modules() if isinstance(module, _DropoutNd) and module.p > 0]
    for layer in layers:
        layer.p = 0.0
    rated = [module for module in base.modules() if _rates(vars(module), _DROPS)]
    _zero(rated, _DROPS)
    if layers or rated:
        logger.warning(
            "The base's own dropout is switched off while adapters are trained (its masks would depend on the batch's "
            "mixture). Use the adapters' dropout, for example LoraConfig(lora_dropout=0.1)."
        )


def switch_noise_off(modules: Iterable[nn.Module], *, configs: bool) -> Undo:
    """Switch off the noise of modules that were seen to draw random numbers.

    Args:
        modules: The modules.
        configs: Whether to look into their configurations, and not at the modules themselves: some read a rate there
            each time they run.

    Returns:
        Sets everything back.
    """
    if not configs:
        return _zero(modules, _NOISES)
    held = {
        id(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, PreTrainedConfig)
    }
    return _zero(held.values(), (*_DROPS, *_NOISES))


def _zero(holders: Iterable[object], names: tuple[str, ...]) -> Undo:
    """Set the rates of these objects to 0; returns what sets them back."""
    before = [(vars(holder), _rates(vars(holder), names)) for holder in holders]
    for attributes, rates in before:
        attributes.update(dict.fromkeys(rates, 0.0))

    def back() -> None:
        for attributes, rates in before:
            attributes.update(rates)

    return back


def _rates(attributes: dict[str, object], names: tuple[str, ...]) -> dict[str, float]:
    """The attributes above 0 whose names say that they are such rates."""
    return {
        name: value
        for name, value in attributes.items()
        if isinstance(value, float) and value > 0 and any(part in name for part in names)
    }
