"""Causal language modelling: a completion behind a prompt, or the assistant's turns of a chat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

from hf_mtl.tasks.kinds.language import LanguageModelling

__all__ = ["CausalLM"]


@final
@dataclass(frozen=True)
class CausalLM(LanguageModelling):
    """Causal language modelling: a completion behind a prompt, or the assistant's turns of a chat.

    Args:
        label_smoothing: As in `torch.nn.CrossEntropyLoss`.
    """

    name: ClassVar[str] = "causal-lm"
    metrics: ClassVar[tuple[str, ...]] = ("exact_match",)

    def base_problems(self, *, encoder_decoder: bool, decodes: bool) -> list[str]:
        """As in `Kind`."""
        if encoder_decoder:
            return ["causal-lm is for decoders, and the base is an encoder-decoder; use the kind seq2seq-lm."]
        return super().base_problems(encoder_decoder=encoder_decoder, decodes=decodes)
