"""Text from prompts, through one task's adapter, each prompt as it is in training."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from hf_mtl.data import Layout, PaddedLayout, prompt_ids
from hf_mtl.models.decoding import Decoder, Generation, GenerationRequest, GenerationSettings
from hf_mtl.models.routed_model import RoutedModel

__all__ = ["completions", "generate", "request_ids"]


def generate(
    model: RoutedModel,
    tokenizer: PreTrainedTokenizerBase,
    name: str | None,
    prompts: Sequence[str | Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int = 16,
) -> list[str]:
    """Complete prompts greedily; an answer stops at the ends of the route's task (`RoutedModel.ends`) too.

    Args:
        model: The routed model.
        tokenizer: The base's tokenizer.
        name: The adapter that all prompts go through; None is the bare base.
        prompts: The texts to continue, or their tokens.
        max_new_tokens: Most tokens of an answer.
        batch_size: Most prompts completed together.

    Returns:
        The answers without the prompts, in the prompts' order.
    """
    written = completions(
        model, tokenizer, name, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size
    )
    return [answer.text for answer in written]


def completions(
    model: RoutedModel,
    tokenizer: PreTrainedTokenizerBase,
    name: str | None,
    prompts: Sequence[str | Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int = 16,
) -> list[Generation]:
    """What `generate` writes, with its tokens and why it ended; arguments as there."""
    settings = GenerationSettings(max_new_tokens=max_new_tokens)
    encoded = [tuple(request_ids(model.layout, tokenizer, prompt)) for prompt in prompts]
    order = sorted(
        range(len(prompts)), key=lambda i: len(encoded[i])
    )  # where rows are padded, similar ones together
    decoder = Decoder(model, tokenizer, max_rows=batch_size)
    generations = decoder.generate(GenerationRequest(name, encoded[i], settings) for i in order)
    answers = dict(zip(order, generations, strict=True))
    return [answers[i] for i in range(len(prompts))]


def request_ids(layout: Layout, tokenizer: PreTrainedTokenizerBase, prompt: str | Sequence[int]) -> list[int]:
    """A prompt's tokens for a `GenerationRequest`; an encoder-decoder's encoder reads an end token behind them."""
    ids = prompt_ids(prompt, tokenizer) if isinstance(prompt, str) else list(prompt)
    end_id = (
        layout.end_id if isinstance(layout, PaddedLayout) and layout.decoder_start_id is not None else None
    )
    return ids if end_id is None or ids[-1:] == [end_id] else [*ids, end_id]
