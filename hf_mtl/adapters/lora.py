"""LoRA: which layers it changes and with which initial weights is PEFT's decision, down to the last option.

`plan_lora` lets PEFT itself place a `LoraConfig` on the base, takes the weights that it made, and gives the
base back as it was. So targets, rank patterns, layer choices and initialisations mean exactly what they mean
in PEFT, and what we save is what PEFT would have saved.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
from peft import LoraConfig, LoraModel, PeftConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from hf_mtl.adapters.dropout import keyed_multiplier, layer_key
from hf_mtl.adapters.routing import RoutedPass, Span
from hf_mtl.adapters.segment_linear import Term
from hf_mtl.adapters.update import AdapterPlan, LayerUpdate
from hf_mtl.errors import ConfigError, listing

__all__ = ["LoraUpdate", "plan_lora"]

_PLAN = "plan"

# The options that this pass honours. Any other one that is set is refused: nothing is ever ignored.
_HONOURED = {
    "peft_type", "task_type", "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "peft_version",
    "r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "use_rslora", "rank_pattern",
    "alpha_pattern", "layers_to_transform", "layers_pattern", "init_lora_weights", "fan_in_fan_out",
}  # fmt: skip

# Initialisations that leave the base's weights as they are. The others change the base that all tasks share.
_INITIALISATIONS = (True, False, "gaussian", "orthogonal")


class LoraUpdate(LayerUpdate):
    """The low-rank update of one layer: `scale * dropout(x) A^T B^T`.

    Args:
        lora_A: `[r, D_in]`.
        lora_B: `[D_out, r]`.
        scale: `alpha / r`, or `alpha / sqrt(r)` with rsLoRA.
        dropout: The probability of dropping an input feature in training.
        path: The layer's path in the base; it keys the dropout masks.
    """

    def __init__(self, lora_A: Tensor, lora_B: Tensor, *, scale: float, dropout: float, path: str) -> None:
        super().__init__()
        self.lora_A = nn.Parameter(lora_A)
        self.lora_B = nn.Parameter(lora_B)
        self.scale = scale
        self.dropout = dropout
        self._key = layer_key(path)

    def file_parameters(self) -> dict[str, nn.Parameter]:
        """`lora_A.weight` and `lora_B.weight`."""
        return {"lora_A.weight": self.lora_A, "lora_B.weight": self.lora_B}

    def term(self, span: Span, x: Tensor, routed: RoutedPass) -> Term:
        """The update of one span of `x [T, D_in]`."""
        drops = self.training and self.dropout > 0
        return Term(
            start=span.start,
            stop=span.stop,
            scale=self.scale * span.weight,
            a_RI=self.lora_A,
            b_OR=self.lora_B,
            multiplier_LI=keyed_multiplier(routed, span.start, span.stop, x, p=self.dropout, key=self._key)
            if drops
            else None,
        )

    def extra_repr(self) -> str:
        """Rank, scale and dropout, for `print(model)`."""
        return f"r={self.lora_A.shape[0]}, scale={self.scale:g}, dropout={self.dropout:g}"


def _check(config: LoraConfig) -> None:
    defaults = {field.name: getattr(LoraConfig(), field.name) for field in dataclasses.fields(LoraConfig)}
    problems = []
    for name, default in defaults.items():
        value = getattr(config, name)
        if name not in _HONOURED and value != default:
            problems.append(
                f"LoraConfig({name}={value!r}) is not supported, and would have to be ignored. Leave it at {default!r}."
            )
    if config.init_lora_weights not in _INITIALISATIONS:
        problems.append(
            f"LoraConfig(init_lora_weights={config.init_lora_weights!r}) is not supported: only initialisations that "
            f"leave the shared base unchanged are: {', '.join(map(repr, _INITIALISATIONS))}."
        )
    if problems:
        raise ConfigError(problems)


def plan_lora(base: nn.Module, config: PeftConfig, seed: int) -> AdapterPlan:
    """Let PEFT place a LoRA on the base, without leaving a trace on the base.

    Args:
        base: The base model, its layers unwrapped.
        config: Any `LoraConfig` whose options are supported.
        seed: The initial weights depend on this seed alone, not on what else was created before.

    Returns:
        One update per changed layer, its weights in fp32 or wider.

    Raises:
        ConfigError: If an option is not supported or no layer matches.
    """
    assert isinstance(config, LoraConfig)
    _check(config)
    config = copy.deepcopy(config)
    devices = {p.device.index for p in base.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=[index for index in devices if index is not None]):
        torch.manual_seed(seed)
        try:
            tuner = LoraModel(base, {_PLAN: config}, _PLAN)
        except ValueError as error:
            linear = sorted(
                {path.rpartition(".")[2] for path, m in base.named_modules() if isinstance(m, nn.Linear)}
            )
            raise ConfigError(
                f"PEFT cannot place this LoRA: {error} Linear layers of this base are called {listing(linear)}."
            ) from error
    layers = {path: layer for path, layer in base.named_modules() if isinstance(layer, LoraLayer)}
    updates = {path: _take(path, layer) for path, layer in layers.items()}
    tuner.unload()
    return AdapterPlan(config, updates)


def _take(path: str, layer: LoraLayer) -> LoraUpdate:
    if _PLAN not in layer.lora_A:
        raise ConfigError(
            f"{path}: LoRA on an embedding or a convolution is not supported; target linear layers."
        )
    a, b = layer.lora_A[_PLAN].weight, layer.lora_B[_PLAN].weight
    assert isinstance(a, Tensor) and isinstance(b, Tensor)
    dtype = torch.float32 if a.dtype in (torch.float16, torch.bfloat16) else a.dtype
    dropout = layer.lora_dropout[_PLAN]
    return LoraUpdate(
        a.detach().to(dtype),
        b.detach().to(dtype),
        scale=layer.scaling[_PLAN],
        dropout=dropout.p if isinstance(dropout, nn.Dropout) else 0.0,
        path=path,
    )
