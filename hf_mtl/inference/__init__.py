"""Answers from trained adapters."""

from hf_mtl.inference.predict import predict

__all__ = ["predict"]
