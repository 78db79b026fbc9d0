"""Bases that bitsandbytes quantises while they are loaded."""

from __future__ import annotations

import torch
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.utils.quantization_config import QuantizationMethod

from hf_mtl.errors import ConfigError, listing
from hf_mtl.packages import BITSANDBYTES

__all__ = ["QUANTIZATIONS", "quantisation_config", "quantisation_note", "quantisation_of_note"]

QUANTIZATIONS = ("4bit", "8bit")

_BEGINNING = "quantised by "  # of the note on a quantised model


def quantisation_config(wanted: str | BitsAndBytesConfig, dtype: torch.dtype | None) -> BitsAndBytesConfig:
    """The settings that `wanted` stands for.

    Args:
        wanted: `"4bit"` (nf4, double quantisation, computed in the base's dtype), `"8bit"`, or settings, which are
            taken as they are.
        dtype: The dtype that the base's other layers are loaded in; None is fp32.

    Raises:
        ConfigError: If bitsandbytes is not installed or `wanted` is unknown.
    """
    if not isinstance(wanted, BitsAndBytesConfig) and wanted not in QUANTIZATIONS:
        raise ConfigError(
            f"quantization={wanted!r} is unknown; choose one of {listing(QUANTIZATIONS)}, or a BitsAndBytesConfig."
        )
    BITSANDBYTES.require(
        "quantization" if isinstance(wanted, BitsAndBytesConfig) else f"quantization={wanted!r}"
    )
    if isinstance(wanted, BitsAndBytesConfig):
        return wanted
    if wanted == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype or torch.float32,
    )


def quantisation_note(model: PreTrainedModel) -> str | None:
    """How a model is quantised, in words, or None if it is not."""
    settings = model.config.to_dict().get("quantization_config")
    if settings is None:
        return None
    method = QuantizationMethod(settings["quant_method"])
    if method is not QuantizationMethod.BITS_AND_BYTES:
        return f"{_BEGINNING}{method.value}"
    if settings["load_in_8bit"]:
        return f"{_BEGINNING}bitsandbytes to 8 bits"
    double = ", doubly" if settings["bnb_4bit_use_double_quant"] else ""
    return f"{_BEGINNING}bitsandbytes to 4 bits ({settings['bnb_4bit_quant_type']}{double})"


def quantisation_of_note(note: str | None) -> str | None:
    """What a base's whole note says of how it is quantised; None if nothing.

    >>> quantisation_of_note("a copy; quantised by bitsandbytes to 8 bits")
    'quantised by bitsandbytes to 8 bits'
    """
    parts = (note or "").split("; ")
    return next((part for part in parts if part.startswith(_BEGINNING)), None)
