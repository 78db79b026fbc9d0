"""Which bases are supported, and how each takes its batches.

One table. A base that is not in it takes the padded layout if its attention is called through transformers'
`AttentionInterface`; its rows are then ordinary rows to it, and only its linear layers learn of routes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from hf_mtl.heads import Pool

__all__ = [
    "ARCHITECTURES",
    "PACKABLE",
    "REFUSED_IF_PADDED",
    "Architecture",
    "Values",
    "image_of",
    "pool_of",
    "positions_of",
    "token_types_of",
]

Values: TypeAlias = Mapping[str, Any]
"""A configuration as `config.to_dict()` gives it. Any: whatever a config.json holds."""


@dataclass(frozen=True)
class Architecture:
    """How bases of one `model_type` are run.

    Args:
        packed: Whether batches are packed; else they are padded.
        classes: The classes whose pass is tested to equal plain PEFT's, sequence by sequence
            (tests/models/test_architectures.py); empty where none is.
        positions_after_padding: Whether positions count from `pad_token_id + 1`.
        masked_lm_head: In a masked language model, the module that begins the vocabulary head.
        refused: Kinds of adapters, as peft names them, that are refused on it, and why.
        pool: Which state a head on sequences reads; None where heads of a task's own are not tested.
        pooler: Whether such a head stands on the base's own pooler.
        head_takes_rows: Whether such a head takes whole rows and picks the state itself.
        fixed_images: Whether it reads images of the size in its configuration only.
    """

    packed: bool
    classes: tuple[str, ...] = ()
    positions_after_padding: bool = False
    masked_lm_head: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    pool: Pool | None = None
    pooler: bool = False
    head_takes_rows: bool = False
    fixed_images: bool = False


REFUSED_IF_PADDED = {
    "PREFIX_TUNING": "on padded rows a prefix needs a cache, which activation checkpointing drops",
    "PROMPT_TUNING": "on padded rows a prompt has to take part in padding and masks, which is not done",
}
_PIXELS = dict.fromkeys(
    ("PREFIX_TUNING", "PROMPT_TUNING"),
    "virtual tokens stand before a text's tokens, and this base reads pixels; plain PEFT fails on it too",
)
_NO_CACHE = {
    "PREFIX_TUNING": "it takes no keys and values from outside, so that plain PEFT's prefix has no effect, or "
    "fails beside a mask; PromptTuningConfig works"
}

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "bert": Architecture(
            True, ("BertModel", "BertForMaskedLM"), masked_lm_head="cls", pool=Pool.FIRST, pooler=True
        ),
        "gpt2": Architecture(True, ("GPT2LMHeadModel",), pool=Pool.LAST),
        "llama": Architecture(True, ("LlamaForCausalLM",), pool=Pool.LAST),
        "mistral": Architecture(True, ("MistralForCausalLM",), pool=Pool.LAST),
        "modernbert": Architecture(
            True,
            ("ModernBertModel", "ModernBertForMaskedLM"),
            masked_lm_head="head",
            refused=_NO_CACHE,
            pool=Pool.FIRST,  # or the mean, as its configuration says
        ),
        "qwen2": Architecture(True, ("Qwen2ForCausalLM",), pool=Pool.LAST),
        "qwen3": Architecture(True, ("Qwen3ForCausalLM",), pool=Pool.LAST),
        "roberta": Architecture(
            True,
            ("RobertaModel", "RobertaForMaskedLM"),
            positions_after_padding=True,
            masked_lm_head="lm_head",
            pool=Pool.FIRST,
            head_takes_rows=True,
        ),
        "t5": Architecture(False, ("T5ForConditionalGeneration",), refused=REFUSED_IF_PADDED, pool=Pool.LAST),
        "vit": Architecture(False, ("ViTModel",), refused=_PIXELS, pool=Pool.FIRST, fixed_images=True),
    }
)

PACKABLE = tuple(name for name, architecture in ARCHITECTURES.items() if architecture.packed)


def pool_of(config: Values, architecture: Architecture) -> Pool | None:
    """Which states a head on sequences reads."""
    averages = config.get("classifier_pooling") == "mean"  # ModernBERT's own choice
    return Pool.MEAN if averages else architecture.pool


def positions_of(config: Values, architecture: Architecture) -> int | None:
    """Most tokens that a base has positions for, of an encoder-decoder each of its two halves; None for no limit."""
    positions: int | None = config.get("max_position_embeddings")
    if config.get("is_encoder_decoder"):  # the `n_positions` of a T5 are no limit: its positions are relative
        return positions
    positions = positions or config.get("n_positions")
    if positions is None:
        return None
    return positions - (config["pad_token_id"] + 1 if architecture.positions_after_padding else 0)


def image_of(config: Values, architecture: Architecture) -> tuple[int, int, int] | None:
    """Channels, height and width of the images that a base reads; None for no fixed size."""
    if not architecture.fixed_images:
        return None
    size: int | tuple[int, int] = config["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return int(config["num_channels"]), height, width


def token_types_of(config: Values) -> int | None:
    """How many types of token a base has an embedding for; None for a base that tells none apart."""
    types: int | None = config.get("type_vocab_size")
    return types or None
