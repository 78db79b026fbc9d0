"""Why a base cannot write text, where it cannot."""

from __future__ import annotations

from hf_mtl.models.routed_model import RoutedModel

__all__ = ["writing_problem"]


def writing_problem(model: RoutedModel) -> str | None:
    """Why a model's base cannot write text from left to right, and the ways out; None if it can."""
    if model.writes:
        return None
    base = type(model.base).__name__
    if not model.has_vocabulary_head:
        classes = "AutoModelForCausalLM or AutoModelForSeq2SeqLM"
        return f"The base is a {base}, which writes no text. Load it with {classes}."
    return (
        f"The base is a {base} that is not causal: what it gives at a token changes with the tokens behind it, so it "
        f"would see what it is asked to predict. If its weights were trained from left to right, load it with "
        f"is_decoder=True in its config.json; else take a base that writes, or a kind with a head "
        f"(text-classification, token-classification, ...) on the base loaded with AutoModel."
    )
