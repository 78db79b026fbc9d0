"""Tiny random decoders of the packable architectures, the same for all tests that compare kinds of adapters."""

from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, MistralConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

SHAPE: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
DECODERS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**SHAPE),
    "mistral": MistralConfig(**SHAPE, sliding_window=4),
    "qwen2": Qwen2Config(**SHAPE),  # its q, k and v have biases
    "qwen3": Qwen3Config(**SHAPE, head_dim=16),
}
