"""Tiny bases with random weights, one of each family, made of transformers' own configurations.

Dropout is on, and what a configuration has besides (layerdrop, drop path, noise of routers) is set high: so a base in
which one of them is left would show.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    PreTrainedConfig,
    PreTrainedModel,
)

__all__ = ["FAMILIES", "VOCABULARY", "Family"]

VOCABULARY = 300

_SIZES: dict[str, int] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "d_kv": 8,
    "d_ff": 48, "num_layers": 2, "num_decoder_layers": 2, "num_encoder_layers": 2, "num_heads": 4, "n_positions": 128,
    "n_embd": 32, "n_layer": 2, "n_head": 4, "n_inner": 48, "n_layers": 2, "n_heads": 4, "ffn_dim": 48,
    "word_embed_proj_dim": 32, "image_size": 16, "patch_size": 4, "embedding_size": 32, "dim": 32, "hidden_dim": 48,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32, "ffn_hidden_size": 48, "moe_num_experts": 4,
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
}  # fmt: skip
_TOKENS = {
    "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3, "decoder_start_token_id": 2, "sep_token_id": 3,
    "cls_token_id": 2,
}  # fmt: skip
_RATES = {
    "encoder_layerdrop": 0.3, "decoder_layerdrop": 0.3, "activation_dropout": 0.1, "attention_dropout": 0.1,
    "drop_path_rate": 0.3, "hidden_dropout": 0.1, "router_jitter_noise": 0.2, "resid_pdrop": 0.1, "embd_pdrop": 0.1,
    "attn_pdrop": 0.1, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
}  # fmt: skip
_AUTO = {
    "decoder": AutoModelForCausalLM,
    "encoder-decoder": AutoModelForSeq2SeqLM,
    "masked": AutoModelForMaskedLM,
    "encoder": AutoModel,
    "vision": AutoModel,
    "image and text": AutoModelForImageTextToText,
}


@dataclass(frozen=True)
class Family:
    """One family.

    Args:
        name: What the table calls it.
        sort: What it is: a key of `_AUTO`.
        model_type: The configuration's name in transformers.
        changes: Of the configuration.
        targets: The linear layers that get adapters.
        transposed: Whether its linear layers keep their weights transposed.
    """

    name: str
    sort: str
    model_type: str
    changes: Mapping[str, Any] = field(default_factory=dict)  # Any: a configuration's own
    targets: str | tuple[str, ...] = "all-linear"
    transposed: bool = False

    @property
    def config(self) -> PreTrainedConfig:
        """A tiny configuration."""
        cls = CONFIG_MAPPING[self.model_type]
        known = cls().to_dict().keys()
        sizes = {"vocab_size": VOCABULARY, **_SIZES, **_RATES}
        values = {name: value for name, value in sizes.items() if name in known}
        config: PreTrainedConfig = cls(**{**values, **_TOKENS, **copy.deepcopy(dict(self.changes))})
        return config

    def base(self) -> PreTrainedModel:
        """The base, the same in every call."""
        torch.manual_seed(0)
        base: PreTrainedModel = _AUTO[self.sort].from_config(self.config)
        with (
            torch.no_grad()
        ):  # biases, norms and the padding's embedding start as 0 or 1, where a leak is not seen
            for parameter in base.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
        return base


def _families() -> Iterator[Family]:
    decoders = (
        "apertus", "arcee", "biogpt", "cohere", "cohere2", "exaone4", "gemma", "gemma3_text", "glm", "glm4", "gpt_neox",
        "granite", "granitemoe", "jamba", "lfm2", "llama", "mistral", "nemotron", "olmo", "olmo2", "opt", "persimmon",
        "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "seed_oss", "smollm3", "stablelm", "starcoder2",
    )  # fmt: skip
    yield from (Family(name, "decoder", name) for name in decoders)
    # Their other linear layers are no modules, take parts of a row, or are refused by PEFT.
    in_attention = (
        "mixtral", "modernbert-decoder", "olmoe", "phimoe", "qwen3_moe",
    )  # fmt: skip
    yield from (Family(name, "decoder", name, targets=("q_proj", "v_proj")) for name in in_attention)
    yield Family("diffllama", "decoder", "diffllama", {"attention_dropout": 0.0})  # it refuses any other
    yield Family("helium", "decoder", "helium", {"head_dim": 8})
    yield Family("gpt2", "decoder", "gpt2", transposed=True)
    yield Family("gpt_bigcode", "decoder", "gpt_bigcode")
    yield Family("llama (dynamic rope)", "decoder", "llama", _rope("dynamic", factor=4.0))
    longrope = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "partial_rotary_factor": 1.0}
    yield Family("phi3 (longrope)", "decoder", "phi3", _rope("longrope", **longrope))
    pairs = (
        "bart", "blenderbot", "blenderbot-small", "m2m_100", "marian", "mbart", "mt5", "pegasus", "plbart", "t5",
        "umt5",
    )  # fmt: skip
    yield from (Family(name, "encoder-decoder", name) for name in pairs)
    yield from (Family(name, "encoder", name) for name in ("bert", "modernbert", "roberta"))
    masked = ("albert", "camembert", "distilbert", "electra", "esm", "mobilebert", "xlm-roberta")
    yield from (Family(name, "masked", name) for name in masked)
    visions = ("beit", "deit", "dinov2", "dinov2_with_registers", "ijepa", "vit", "vit_msn")
    yield from (Family(name, "vision", name) for name in visions)
    yield Family("paligemma", "image and text", "paligemma", _paligemma())


def _rope(kind: str, **options: object) -> dict[str, object]:
    """Rotary positions that change behind 16 tokens, which the rows of one of the two tasks are longer than."""
    rope = {"rope_type": kind, "rope_theta": 10000.0, "original_max_position_embeddings": 16, **options}
    positions = (
        {"max_position_embeddings": 16} if kind == "dynamic" else {"original_max_position_embeddings": 16}
    )
    return {**positions, "rope_parameters": rope}


def _paligemma() -> dict[str, object]:
    sizes = {name: _SIZES[name] for name in ("hidden_size", "intermediate_size", "num_attention_heads")}
    text = {
        "model_type": "gemma", "vocab_size": VOCABULARY, **sizes, "num_hidden_layers": 2, "num_key_value_heads": 2,
        "head_dim": 8, "max_position_embeddings": 128,
    }  # fmt: skip
    vision = {
        "model_type": "siglip_vision_model", **sizes, "num_hidden_layers": 1, "image_size": 16, "patch_size": 8,
        "projection_dim": 32,
    }  # fmt: skip
    return {
        "text_config": text,
        "vision_config": vision,
        "projection_dim": 32,
        "image_token_index": VOCABULARY - 1,
    }


FAMILIES = {family.name: family for family in _families()}
