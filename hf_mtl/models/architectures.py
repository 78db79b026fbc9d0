"""Which bases are supported, and how each takes its batches.

One table. A base that is not in it takes the padded layout if its attention is called through transformers'
`AttentionInterface`; its rows are then ordinary rows to it, and only its linear layers learn of routes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from peft import PeftConfig, PeftType
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from hf_mtl.data import Layout, PackedLayout, PaddedLayout, unknown_token
from hf_mtl.errors import ConfigError, listing
from hf_mtl.heads import Pool

__all__ = [
    "ARCHITECTURES",
    "PACKABLE",
    "Architecture",
    "architecture_of",
    "check_kind",
    "image_of",
    "layout_of",
    "pool_of",
    "positions_of",
    "vocabulary_of",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Architecture:
    """How bases of one `model_type` are run.

    Args:
        packed: Whether batches are packed; else they are padded.
        classes: The classes whose pass is tested to equal plain PEFT's, sequence by sequence
            (tests/models/test_architectures.py); empty where none is.
        positions_after_padding: Whether positions count from `pad_token_id + 1`.
        masked_lm_head: In a masked language model, the module that begins the vocabulary head.
        refused: Kinds of adapters that are refused on it, and why.
        pool: Which state a head on sequences reads; None where heads of a task's own are not tested.
        pooler: Whether such a head stands on the base's own pooler.
        head_takes_rows: Whether such a head takes whole rows and picks the state itself.
        fixed_images: Whether it reads images of the size in its configuration only.
    """

    packed: bool
    classes: tuple[str, ...] = ()
    positions_after_padding: bool = False
    masked_lm_head: str | None = None
    refused: Mapping[PeftType, str] = field(default_factory=dict)
    pool: Pool | None = None
    pooler: bool = False
    head_takes_rows: bool = False
    fixed_images: bool = False


_PADDED = {
    PeftType.PREFIX_TUNING: "on padded rows a prefix needs a cache, which activation checkpointing drops",
    PeftType.PROMPT_TUNING: "on padded rows a prompt has to take part in padding and masks, which is not done",
}
_PIXELS = dict.fromkeys(
    (PeftType.PREFIX_TUNING, PeftType.PROMPT_TUNING),
    "virtual tokens stand before a text's tokens, and this base reads pixels; plain PEFT fails on it too",
)
_NO_CACHE = {
    PeftType.PREFIX_TUNING: "it takes no keys and values from outside, so that plain PEFT's prefix has no effect, or "
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
        "t5": Architecture(False, ("T5ForConditionalGeneration",), refused=_PADDED, pool=Pool.LAST),
        "vit": Architecture(False, ("ViTModel",), refused=_PIXELS, pool=Pool.FIRST, fixed_images=True),
    }
)

PACKABLE = tuple(name for name, architecture in ARCHITECTURES.items() if architecture.packed)

_INPUTS = ("input_ids", "pixel_values")


def architecture_of(base: PreTrainedModel) -> Architecture:
    """Find out how a base is run, and say it in the log.

    Raises:
        ConfigError: If it can be neither packed nor padded.
    """
    name, model_type = type(base).__name__, base.config.model_type
    known = ARCHITECTURES.get(model_type)
    if known is not None:
        if not {cls.__name__ for cls in type(base).__mro__} & set(known.classes):
            raise ConfigError(
                f"The base is a {name}; of {model_type!r} models, {listing(known.classes)} is supported. Load the base "
                f"with the matching Auto class (AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForMaskedLM, or "
                f"AutoModel for a base without a head)."
            )
        layout = (
            "packed (one token stream, no padding)" if known.packed else "padded (rows of similar lengths)"
        )
        logger.info("Batches of %s are %s.", name, layout)
        return known
    _check_paddable(base)
    logger.warning(
        "%s (model_type %r) is not among the tested architectures (%s). It takes the padded layout; compare a few "
        "outputs with plain PEFT before you rely on it.",
        name,
        model_type,
        ", ".join(ARCHITECTURES),
    )
    return Architecture(packed=False, refused=_PADDED)


def _check_paddable(base: PreTrainedModel) -> None:
    """Refuse bases of unknown architecture whose attention or output we cannot know."""
    problem = None
    if not (base._can_set_attn_implementation() and base._supports_sdpa):
        problem = "its attention is not called through transformers' AttentionInterface"
    elif base.main_input_name not in _INPUTS:
        problem = f"its input is {base.main_input_name!r}, and batches hold {listing(_INPUTS)}"
    elif base.get_output_embeddings() is None and base.base_model is not base:
        problem = "it has a head that is not a vocabulary head; load it without one (AutoModel)"
    if problem is not None:
        raise ConfigError(
            f"The base is a {base.config.model_type!r} model ({type(base).__name__}), which can be neither packed nor "
            f"padded: {problem}. Supported are {listing(ARCHITECTURES)}, and architectures whose attention is "
            f"called through the AttentionInterface."
        )


def check_kind(base: PreTrainedModel, architecture: Architecture, config: PeftConfig) -> None:
    """Refuse a kind of adapter that the base's architecture cannot have.

    Raises:
        ConfigError: With the reason.
    """
    reason = architecture.refused.get(PeftType(config.peft_type)) if config.peft_type else None
    if reason is not None:
        raise ConfigError(
            f"{type(config).__name__} is not supported on a {type(base).__name__}: {reason}. Kinds that act on layers "
            f"(LoraConfig, IA3Config) are supported."
        )


def pool_of(config: PreTrainedConfig, architecture: Architecture) -> Pool | None:
    """Which states a head on sequences reads."""
    averages = config.to_dict().get("classifier_pooling") == "mean"  # ModernBERT's own choice
    return Pool.MEAN if averages else architecture.pool


def positions_of(config: PreTrainedConfig, architecture: Architecture) -> int | None:
    """Most tokens that a base has positions for, of an encoder-decoder each of its two halves; None for no limit."""
    values = config.to_dict()
    positions: int | None = values.get("max_position_embeddings")
    if config.is_encoder_decoder:  # the `n_positions` of a T5 are no limit: its positions are relative
        return positions
    positions = positions or values.get("n_positions")
    if positions is None:
        return None
    return positions - (values["pad_token_id"] + 1 if architecture.positions_after_padding else 0)


def vocabulary_of(base: PreTrainedModel) -> int | None:
    """The token ids that a base has, counted from 0; None if it reads no text."""
    embeddings = base.get_input_embeddings()
    return embeddings.num_embeddings if isinstance(embeddings, nn.Embedding) else None


def image_of(config: PreTrainedConfig, architecture: Architecture) -> tuple[int, int, int] | None:
    """Channels, height and width of the images that a base reads; None for no fixed size."""
    if not architecture.fixed_images:
        return None
    values = config.to_dict()
    size: int | tuple[int, int] = values["image_size"]
    height, width = (size, size) if isinstance(size, int) else size
    return int(values["num_channels"]), height, width


def layout_of(base: PreTrainedModel, architecture: Architecture) -> Layout:
    """How batches for this base are cut, filled and laid out.

    Raises:
        ConfigError: If an encoder-decoder does not say which token its decoder starts with, or a token that rows are
            filled up or framed with is beyond the base's vocabulary.
    """
    if architecture.packed:
        return PackedLayout()
    config = base.config.to_dict()  # not every config has every token
    _check_special(config, vocabulary_of(base))
    pad_id: int = config.get("pad_token_id") or 0
    if not base.config.is_encoder_decoder:
        return PaddedLayout(pad_id)
    start_id: int | None = config.get("decoder_start_token_id")
    if start_id is None:
        raise ConfigError("The encoder-decoder's config has no decoder_start_token_id; set it.")
    end_id: int | list[int] | None = config.get("eos_token_id")
    return PaddedLayout(pad_id, start_id, end_id[0] if isinstance(end_id, list) else end_id)


def _check_special(config: Mapping[str, Any], vocabulary: int | None) -> None:
    framing = ("decoder_start_token_id", "eos_token_id") if config.get("is_encoder_decoder") else ()
    values = {name: config.get(name) for name in ("pad_token_id", *framing)}
    problems = [
        f"The base's config.{name} is {value}: it {problem}. Set it to a token of the base."
        for name, value in values.items()
        if isinstance(value, int) and (problem := unknown_token([value], vocabulary))
    ]
    if problems:
        raise ConfigError(problems)
