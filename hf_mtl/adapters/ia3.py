r"""(IA)^3: a layer's output, or its input, multiplied by a learned vector.

Liu et al. 2022, https://arxiv.org/abs/2205.05638. PEFT calls a layer whose input is scaled a feed-forward module:

.. math:: y = l \circ (x W^T + b) \qquad \text{or, feed-forward,} \qquad y = (l \circ x) W^T + b
"""

from __future__ import annotations

from peft import IA3Config, IA3Model, PeftConfig
from peft.tuners.ia3 import IA3Layer
from torch import Tensor, nn

from hf_mtl.adapters.placement import PLAN, check_target, place, unhonoured
from hf_mtl.adapters.routing import RoutedPass, Span
from hf_mtl.adapters.update import AdapterPlan, OwnEffect, trainable
from hf_mtl.errors import ConfigError

__all__ = ["Ia3Update", "plan_ia3"]

_HONOURED = {
    "target_modules",
    "exclude_modules",
    "feedforward_modules",
    "fan_in_fan_out",
    "modules_to_save",
    "init_ia3_weights",
}


class Ia3Update(OwnEffect):
    """The scaling of one layer; its effect is the scaled layer's output less the base layer's.

    Args:
        ia3_l: `[D_out, 1]`, or `[1, D_in]` for a feed-forward module.
        feedforward: Whether the input is scaled, and not the output.
    """

    def __init__(self, ia3_l: Tensor, *, feedforward: bool) -> None:
        super().__init__()
        self.ia3_l = trainable(ia3_l)
        self.feedforward = feedforward

    def file_parameters(self) -> dict[str, nn.Parameter]:
        """`ia3_l`."""
        return {"ia3_l": self.ia3_l}

    def effect(
        self, x_LI: Tensor, y_LO: Tensor, base_layer: nn.Module, span: Span, routed: RoutedPass
    ) -> Tensor:
        """What the scaling changes, in the vector's dtype; a feed-forward module costs a second base product."""
        scaling = self.ia3_l.flatten()
        if not self.feedforward:
            return y_LO * (scaling - 1) * span.weight
        scaled_LO: Tensor = base_layer((x_LI * scaling).to(x_LI.dtype))
        return (scaled_LO.to(scaling.dtype) - y_LO) * span.weight

    def extra_repr(self) -> str:
        """Which side is scaled, for `print(model)`."""
        return f"scales={'input' if self.feedforward else 'output'}"


def plan_ia3(base: nn.Module, config: PeftConfig, seed: int) -> AdapterPlan:
    """Let PEFT place an (IA)^3 adapter on the base; see `place`.

    Raises:
        ConfigError: If an option is not supported or no layer matches.
    """
    assert isinstance(config, IA3Config)
    if problems := unhonoured(config, _HONOURED, {}):
        raise ConfigError(problems)
    return place(base, config, seed, tuner=IA3Model, take=_take)


def _take(path: str, layer: IA3Layer) -> Ia3Update:
    check_target(path, layer.get_base_layer())
    return Ia3Update(layer.ia3_l[PLAN], feedforward=layer.is_feedforward)
