"""Text from prompts, through one task's adapter, with the base's own `generate`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedTokenizerBase

from hf_mtl.data import Layout, PaddedLayout
from hf_mtl.models.routed_model import RoutedModel

__all__ = ["generate"]


@torch.no_grad()
def generate(
    model: RoutedModel,
    tokenizer: PreTrainedTokenizerBase,
    name: str | None,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int = 16,
) -> list[str]:
    """Complete prompts greedily.

    Args:
        model: The routed model.
        tokenizer: The base's tokenizer.
        name: The adapter that all prompts go through; None is the bare base.
        prompts: The texts to continue.
        max_new_tokens: Most tokens of an answer.
        batch_size: Prompts completed together, sorted by length and padded on the left.

    Returns:
        The answers without the prompts, in the prompts' order.
    """
    encoded = [_prompt_ids(model.layout, tokenizer, prompt) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    answers = [""] * len(prompts)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    was_training = model.training
    model.eval()
    for chosen in _batches(order, [len(ids) for ids in encoded], batch_size, pads=_may_pad(model, name)):
        width = max(len(encoded[i]) for i in chosen)
        input_ids = torch.tensor([[pad_id] * (width - len(encoded[i])) + encoded[i] for i in chosen])
        mask = torch.tensor([[0] * (width - len(encoded[i])) + [1] * len(encoded[i]) for i in chosen])
        with model.route(name) as base:
            output = base.generate(  # type: ignore[operator]  # nn.Module types attributes loosely
                input_ids=input_ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                use_cache=True,
                pad_token_id=pad_id,
                eos_token_id=tokenizer.eos_token_id,
            )
        # An encoder-decoder's output begins with its start token, any other one's with the prompt.
        read = 1 if model.config.is_encoder_decoder else width
        texts = tokenizer.batch_decode(output[:, read:], skip_special_tokens=True)
        for i, text in zip(chosen, texts, strict=True):
            answers[i] = text
    model.train(was_training)
    return answers


def _may_pad(model: RoutedModel, name: str | None) -> bool:
    """Whether rows of different lengths may go together.

    Padding stands between virtual tokens and the prompt, where it takes room in a sliding window (in PEFT too): an
    answer would depend on its neighbours' lengths.
    """
    windowed = model.config.to_dict().get("sliding_window") is not None
    return not windowed or name is None or model.virtual_tokens(name) == 0


def _batches(order: Sequence[int], lengths: Sequence[int], size: int, *, pads: bool) -> list[list[int]]:
    """Cut rows, sorted by length, into batches of at most `size`; without padding, of one length each."""
    batches: list[list[int]] = []
    for i in order:
        full = not batches or len(batches[-1]) == size
        if full or not (pads or lengths[batches[-1][0]] == lengths[i]):
            batches.append([])
        batches[-1].append(i)
    return batches


def _prompt_ids(layout: Layout, tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """A prompt's tokens as they are in training: a chat template writes its begin token itself."""
    begun = tokenizer.bos_token is not None and prompt.startswith(tokenizer.bos_token)
    ids = list(tokenizer(prompt, add_special_tokens=not begun)["input_ids"])
    end_id = (
        layout.end_id if isinstance(layout, PaddedLayout) and layout.decoder_start_id is not None else None
    )
    return ids if end_id is None or ids[-1:] == [end_id] else [*ids, end_id]
