"""Sequence-to-sequence language modelling: an encoder reads the prompt, a decoder learns the completion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

from hf_mtl.tasks.kinds.kind import Context
from hf_mtl.tasks.kinds.language import LanguageModelling
from hf_mtl.tasks.kinds.query import Found, Option, Query
from hf_mtl.tasks.kinds.writing import GENERATION

__all__ = ["Seq2SeqLM"]


@final
@dataclass(frozen=True)
class Seq2SeqLM(LanguageModelling):
    """Sequence-to-sequence language modelling: an encoder reads the prompt, a decoder learns the completion.

    Args:
        label_smoothing: As in `torch.nn.CrossEntropyLoss`.
    """

    name: ClassVar[str] = "seq2seq-lm"
    metrics: ClassVar[tuple[str, ...]] = ("exact_match",)
    options: ClassVar[Mapping[str, Option]] = GENERATION

    def base_problems(self, *, encoder_decoder: bool, decodes: bool) -> list[str]:
        """As in `Kind`."""
        if not encoder_decoder:
            return [
                "seq2seq-lm needs an encoder-decoder, such as a T5; for a decoder use the kind causal-lm."
            ]
        return super().base_problems(encoder_decoder=encoder_decoder, decodes=decodes)

    def reply(self, query: Query, found: Found, context: Context) -> list[dict[str, str]]:
        """As in `Kind`: `[{"generated_text": ...}]`, what the decoder wrote."""
        return [{"generated_text": found.text}]
