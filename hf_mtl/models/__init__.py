"""The routed model: a frozen base, its architecture and identity, packed attention, and the adapters on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hf_mtl.lazy import lazy_names
from hf_mtl.models.architectures import ARCHITECTURES, PACKABLE, Architecture
from hf_mtl.models.configured import ConfiguredBase
from hf_mtl.models.fingerprint import fingerprint

if TYPE_CHECKING:
    from hf_mtl.models.auxiliary_loss import refuse_auxiliary_loss
    from hf_mtl.models.base import BaseIdentity, identify, load_base, load_processor, load_tokenizer
    from hf_mtl.models.decoding import Decoder, Event, Generation, GenerationRequest, GenerationSettings
    from hf_mtl.models.ends import base_end_ids
    from hf_mtl.models.generation import completions, generate, request_ids
    from hf_mtl.models.lora_relations import learned_relations, lora_layers
    from hf_mtl.models.losses import losses_of, per_sequence
    from hf_mtl.models.placing import base_problems, context_of, context_on, place_suite, place_task
    from hf_mtl.models.routed_model import RoutedModel
    from hf_mtl.models.suites import SavedSuite, load_suite


__all__ = [
    "ARCHITECTURES",
    "PACKABLE",
    "Architecture",
    "BaseIdentity",
    "ConfiguredBase",
    "Decoder",
    "Event",
    "Generation",
    "GenerationRequest",
    "GenerationSettings",
    "RoutedModel",
    "SavedSuite",
    "base_end_ids",
    "base_problems",
    "completions",
    "context_of",
    "context_on",
    "fingerprint",
    "generate",
    "identify",
    "learned_relations",
    "load_base",
    "load_processor",
    "load_suite",
    "load_tokenizer",
    "lora_layers",
    "losses_of",
    "per_sequence",
    "place_suite",
    "place_task",
    "refuse_auxiliary_loss",
    "request_ids",
]

__getattr__ = lazy_names(
    __name__,
    {
        "auxiliary_loss": "refuse_auxiliary_loss",
        "base": "BaseIdentity identify load_base load_processor load_tokenizer",
        "decoding": "Decoder Event Generation GenerationRequest GenerationSettings",
        "ends": "base_end_ids",
        "generation": "completions generate request_ids",
        "lora_relations": "learned_relations lora_layers",
        "losses": "losses_of per_sequence",
        "placing": "base_problems context_of context_on place_suite place_task",
        "routed_model": "RoutedModel",
        "suites": "SavedSuite load_suite",
    },
)
