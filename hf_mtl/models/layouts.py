"""A loaded base of some architecture: what it is run as, how its batches are laid out, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peft import PeftConfig, PeftType
from torch import nn
from transformers import PreTrainedModel

from hf_mtl.adapters import check_limits
from hf_mtl.data import Layout, PackedLayout, PaddedLayout, unknown_token
from hf_mtl.errors import ConfigError, listing
from hf_mtl.models.architectures import ARCHITECTURES, REFUSED_IF_PADDED, Architecture
from hf_mtl.notices import logger_of

__all__ = ["architecture_of", "check_kind", "layout_of", "vocabulary_of"]

logger = logger_of(__name__)

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
    return Architecture(packed=False, refused=REFUSED_IF_PADDED)


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
    """Refuse a kind of adapter that the base's architecture cannot have, and sizes that no base can.

    Raises:
        ConfigError: With the reason.
    """
    check_limits(config)
    reason = architecture.refused.get(PeftType(config.peft_type).value) if config.peft_type else None
    if reason is not None:
        raise ConfigError(
            f"{type(config).__name__} is not supported on a {type(base).__name__}: {reason}. Kinds that act on layers "
            f"(LoraConfig, IA3Config) are supported."
        )


def vocabulary_of(base: PreTrainedModel) -> int | None:
    """The token ids that a base has, counted from 0; None if it reads no text."""
    embeddings = base.get_input_embeddings()
    return embeddings.num_embeddings if isinstance(embeddings, nn.Embedding) else None


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
