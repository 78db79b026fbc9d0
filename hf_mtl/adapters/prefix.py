"""Prefix tuning: learned keys and values that stand before a sequence's own in every attention layer.

Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation" (2021), in the form that PEFT trains:
`softmax(q [P_k; K]^T / sqrt(d)) [P_v; V]` in each layer, where the `n` rows of `P_k` and `P_v` are parameters. They
take the positions `0 .. n - 1`, so the sequence's own tokens are counted from `n`; the learned keys are not rotated.
"""

from __future__ import annotations

import copy

from peft import PeftConfig, PrefixEncoder, PrefixTuningConfig
from torch import Tensor, nn
from transformers import PreTrainedModel

from hf_mtl.adapters.routing import KeysValues
from hf_mtl.adapters.update import AdapterPlan
from hf_mtl.adapters.virtual import VirtualTokens, initial_embeddings, option_problems, resolve_base
from hf_mtl.errors import ConfigError

__all__ = ["Prefix", "plan_prefix"]

_HONOURED = frozenset({"init_weights", "encoder_hidden_size", "prefix_projection"})


class Prefix(VirtualTokens):
    """The prefix of one adapter.

    Args:
        prompt_embeddings: `[n, 2 * layers * heads * D]`: for each layer a key and a value of each head.
        layers: Attention layers of the base.
        heads: Key and value heads of a layer.
    """

    def __init__(self, prompt_embeddings: Tensor, *, layers: int, heads: int) -> None:
        super().__init__(prompt_embeddings)
        self._layers, self._heads = layers, heads

    def keys_values(self) -> KeysValues:
        """Each layer's keys and values, `[H_kv, n, D]` each, in the parameter's dtype."""
        rows = self.prompt_embeddings.view(self.count, 2 * self._layers, self._heads, -1)
        parts = rows.permute(1, 2, 0, 3).unbind(
            0
        )  # one backward for all layers, where slices would have one each
        return tuple(zip(parts[0::2], parts[1::2], strict=True))


def _problems(config: PrefixTuningConfig) -> list[str]:
    problems = option_problems(config, _HONOURED)
    if config.init_weights not in (None, "zero"):
        problems.append(
            f"PrefixTuningConfig(init_weights={config.init_weights!r}) is unknown; expected None or 'zero'."
        )
    if config.inference_mode:  # finished: what was saved is the prefix itself, with or without a projection
        return problems
    if config.prefix_projection:
        problems.append(
            "PrefixTuningConfig(prefix_projection=True) is not supported: the projection cannot be trained here. Leave "
            "it at False."
        )
    elif config.encoder_hidden_size not in (None, config.token_dim):
        problems.append(
            f"PrefixTuningConfig(encoder_hidden_size={config.encoder_hidden_size!r}) has no effect without a "
            f"projection, which is not supported. Leave it out."
        )
    return problems


def plan_prefix(base: nn.Module, config: PeftConfig, seed: int) -> AdapterPlan:
    """A prefix with the initial values that PEFT's `PrefixEncoder` gives it.

    Args:
        base: The base model.
        config: A `PrefixTuningConfig`. One that was saved (`inference_mode`) may have a projection: PEFT saves its
            result, which is an ordinary prefix, and as such it is taken.
        seed: The initial values depend on this seed alone.

    Raises:
        ConfigError: If an option is not supported.
    """
    assert isinstance(config, PrefixTuningConfig) and isinstance(base, PreTrainedModel)
    config = copy.deepcopy(config)
    problems = _problems(config)
    sizes = base.config.to_dict()
    attention_heads: int = base.config.num_attention_heads
    heads = sizes.get("num_key_value_heads") or attention_heads
    width = sizes.get("head_dim") or base.config.hidden_size // attention_heads
    problems += resolve_base(config, base, token_dim=heads * width, heads=heads)
    if problems:
        raise ConfigError(problems)
    config.prefix_projection = False
    config.encoder_hidden_size = config.token_dim
    embeddings = initial_embeddings(base, lambda: PrefixEncoder(config), seed)
    return AdapterPlan(
        config, {}, virtual=Prefix(embeddings, layers=base.config.num_hidden_layers, heads=heads)
    )
