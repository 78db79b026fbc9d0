"""The routed model: a frozen base, its identity, packed attention, and the adapters on it."""

from hf_mtl.models.base import BaseIdentity, identify, load_base, load_tokenizer
from hf_mtl.models.fingerprint import fingerprint
from hf_mtl.models.generation import generate
from hf_mtl.models.routed_model import PACKABLE, RoutedModel

__all__ = [
    "PACKABLE",
    "BaseIdentity",
    "RoutedModel",
    "fingerprint",
    "generate",
    "identify",
    "load_base",
    "load_tokenizer",
]
