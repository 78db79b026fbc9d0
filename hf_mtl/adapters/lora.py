"""LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685) with all of PEFT's options that leave the base alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from peft import LoraConfig, LoraModel, PeftConfig
from torch import Tensor, nn

from hf_mtl.adapters.dora import DoraUpdate
from hf_mtl.adapters.dropout import kept_scale, keyed_mask, layer_key
from hf_mtl.adapters.placement import PLAN, check_target, place, unhonoured
from hf_mtl.adapters.routing import RoutedPass, Span
from hf_mtl.adapters.segment_linear import Term
from hf_mtl.adapters.update import AdapterPlan, LayerUpdate, trainable
from hf_mtl.errors import ConfigError

__all__ = ["NO_DORA_ON_8BIT", "LoraUpdate", "plan_lora"]

NO_DORA_ON_8BIT: Final = (
    "LoraConfig(use_dora=True) is not supported on an 8-bit base: reading such a weight back, as PEFT does for its "
    "norm, loses the layer's scales. Load the base in 4 bits, or leave use_dora at False."
)

_HONOURED = {
    "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "use_rslora", "use_dora", "rank_pattern",
    "alpha_pattern", "layers_to_transform", "layers_pattern", "init_lora_weights", "fan_in_fan_out", "modules_to_save",
}  # fmt: skip

_REASONS = {
    "bias": "it trains the base's own biases, which all tasks share",
    "lora_bias": "the bias of lora_B is not computed",
    "trainable_token_indices": "it trains rows of the base's embedding, which all tasks share",
    "layer_replication": "it changes the base's depth for all tasks",
    "target_parameters": "adapters act on linear layers, and not on single parameters",
    "megatron_config": "it is for layers of Megatron",
}

# Initialisations that set the adapter's weights and nothing else.
_INITIALISATIONS = (True, False, "gaussian", "orthogonal")

_CHANGES_BASE = "it changes the base's weights, which all tasks share"
_NEEDS_DATA = (
    "it reads the data before training, which this library does not do; initialise and save it with PEFT"
)
_REFUSED_INITIALISATIONS = {
    "pissa": _CHANGES_BASE,
    "olora": _CHANGES_BASE,
    "corda": _CHANGES_BASE,
    "loftq": _CHANGES_BASE,
    "lora_ga": _CHANGES_BASE,
    "eva": _NEEDS_DATA,
    "mica": "it holds lora_B still, and here every weight of an adapter is trained",
}


class LoraUpdate(LayerUpdate):
    """The low-rank update of one layer: `scale * dropout(x) A^T B^T`.

    Args:
        lora_A: `[r, D_in]`.
        lora_B: `[D_out, r]`.
        scale: `alpha / r`, or `alpha / sqrt(r)` with rsLoRA.
        dropout: The probability of dropping an input feature in training.
        path: The layer's path in the base; it keys the dropout masks.

    Attributes:
        stand_ins: By route, tensors `(A, B)` that stand in for the matrices on that route's tokens and take their
            gradient. They share the matrices' storage, so that one pass gives every route's own gradient.
    """

    def __init__(self, lora_A: Tensor, lora_B: Tensor, *, scale: float, dropout: float, path: str) -> None:
        super().__init__()
        self.lora_A = trainable(lora_A)
        self.lora_B = trainable(lora_B)
        self.scale = scale
        self.dropout = dropout
        self._key = layer_key(path)
        self.stand_ins: Mapping[str, tuple[Tensor, Tensor]] = {}

    def file_parameters(self) -> dict[str, nn.Parameter]:
        """`lora_A.weight` and `lora_B.weight`."""
        return {"lora_A.weight": self.lora_A, "lora_B.weight": self.lora_B}

    def term(self, span: Span, x: Tensor, routed: RoutedPass) -> Term:
        """The update of one span of `x [T, D_in]`."""
        drops = self.training and self.dropout > 0
        a_RI, b_OR = self.stand_ins.get(span.route, (self.lora_A, self.lora_B))
        return Term(
            start=span.start,
            stop=span.stop,
            scale=self.scale * span.weight * (kept_scale(self.dropout) if drops else 1.0),
            factor=span.factor,
            a_RI=a_RI,
            b_OR=b_OR,
            mask_LI=keyed_mask(routed, span.start, span.stop, x, p=self.dropout, key=self._key)
            if drops
            else None,
        )

    def extra_repr(self) -> str:
        """Rank, scale and dropout, for `print(model)`."""
        return f"r={self.lora_A.shape[0]}, scale={self.scale:g}, dropout={self.dropout:g}"


def _problems(config: LoraConfig) -> list[str]:
    problems = unhonoured(config, _HONOURED, _REASONS)
    chosen = config.init_lora_weights
    if chosen not in _INITIALISATIONS:
        reason = _REFUSED_INITIALISATIONS.get(str(chosen).lower().partition("_niter_")[0], "it is unknown")
        problems.append(
            f"LoraConfig(init_lora_weights={chosen!r}) is not supported: {reason}. Choose one of "
            f"{', '.join(map(repr, _INITIALISATIONS))}."
        )
    return problems


def plan_lora(base: nn.Module, config: PeftConfig, seed: int) -> AdapterPlan:
    """Let PEFT place a LoRA or a DoRA on the base; see `place`.

    Raises:
        ConfigError: If an option is not supported or no layer matches.
    """
    assert isinstance(config, LoraConfig)
    problems = _problems(config)
    if config.use_dora and any(type(parameter).__name__ == "Int8Params" for parameter in base.parameters()):
        problems.append(NO_DORA_ON_8BIT)
    if problems:
        raise ConfigError(problems)
    return place(base, config, seed, tuner=LoraModel, take=_take)


def _take(
    path: str, layer: Any
) -> LoraUpdate | DoraUpdate:  # Any: PEFT's layers type their attributes loosely
    check_target(path, layer.get_base_layer())
    a, b = layer.lora_A[PLAN].weight, layer.lora_B[PLAN].weight
    module = layer.lora_dropout[PLAN]
    dropout = module.p if isinstance(module, nn.Dropout) else 0.0
    scale = layer.scaling[PLAN]
    if PLAN not in layer.lora_magnitude_vector:
        return LoraUpdate(a, b, scale=scale, dropout=dropout, path=path)
    magnitude = layer.lora_magnitude_vector[PLAN].weight
    return DoraUpdate(a, b, magnitude, scale=scale, dropout=dropout, path=path)
