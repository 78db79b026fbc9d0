"""Virtual tokens in front of an ordinary, unpacked call of the base, above all in its own `generate`.

The base carries a forward pre-hook. Inside `model.route(name)` it gives the first call of a generation the route's
virtual tokens (a prefix as the beginning of the cache, a prompt as input embeddings) and every further call the
attention mask and the positions that go with them. So `base(...)` and `base.generate(...)` work as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel

from hf_mtl.adapters import Prefix, VirtualTokens, current_pass
from hf_mtl.errors import RoutingError
from hf_mtl.versions import cache_argument, checkpoints_activations

__all__ = ["prepend_virtual_tokens"]

Inputs = dict[str, Any]  # Any: the arguments of a base's forward


def prepend_virtual_tokens(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Inputs,
) -> tuple[tuple[Any, ...], Inputs] | None:
    """The hook; it leaves packed passes, and routes without virtual tokens, alone.

    Raises:
        RoutingError: If the call is of a form that the virtual tokens cannot be put to.
    """
    virtual = current_pass().virtual
    if virtual is None:
        return None
    assert isinstance(module, PreTrainedModel)
    inputs = {**kwargs, **dict(zip(("input_ids", "attention_mask"), args, strict=False))}
    if len(args) > 2:
        raise RoutingError("A route with virtual tokens: pass the base's arguments by name.")
    mask = inputs.get("attention_mask")
    if mask is not None:
        if not isinstance(mask, Tensor) or mask.ndim != 2:
            raise RoutingError(
                "A route with virtual tokens takes attention masks [B, S] only, and no static cache."
            )
        inputs["attention_mask"] = torch.cat([mask.new_ones(len(mask), virtual.count), mask], dim=1)
    name = cache_argument()
    cache = inputs.get(name)
    begins = cache is None or cache.get_seq_length() == 0
    if begins and isinstance(virtual, Prefix):
        _check_cached(inputs, module)
        inputs[name] = _filled(cache, virtual, module, _batch_size(inputs))
    if inputs.get("position_ids") is not None:
        inputs["position_ids"] = inputs["position_ids"] + virtual.count
    if begins and not isinstance(virtual, Prefix):
        _put_prompt(inputs, virtual, module)
    return (), inputs


def _check_cached(inputs: Inputs, base: PreTrainedModel) -> None:
    if base.training and checkpoints_activations(base):
        raise RoutingError(
            "Checkpointing drops the cache, in which an unpacked call has its prefix. Call model.eval() first."
        )
    if inputs.get("use_cache") is False:
        raise RoutingError("An unpacked call has its prefix in the cache; leave out use_cache=False.")


def _batch_size(inputs: Inputs) -> int:
    given = inputs["input_ids"] if inputs.get("input_ids") is not None else inputs["inputs_embeds"]
    return len(given)


def _filled(cache: Cache | None, prefix: Prefix, base: PreTrainedModel, batch_size: int) -> Cache:
    """A cache, the given one if there is one, that begins with the prefix."""
    cache = DynamicCache(config=base.config) if cache is None else cache
    for layer, (key_HnD, value_HnD) in enumerate(prefix.keys_values()):
        key, value = (
            x.to(base.dtype).unsqueeze(0).expand(batch_size, -1, -1, -1) for x in (key_HnD, value_HnD)
        )
        cache.update(key, value, layer)
    return cache


def _put_prompt(inputs: Inputs, prompt: VirtualTokens, base: PreTrainedModel) -> None:
    """Give the input as embeddings that begin with the prompt, at the positions `0 .. n - 1`."""
    embeds = inputs.get("inputs_embeds")
    if embeds is None:
        embeds = base.get_input_embeddings()(inputs.pop("input_ids"))
    own = prompt.prompt_embeddings.to(embeds.dtype).expand(len(embeds), -1, -1)
    inputs["inputs_embeds"] = torch.cat([own, embeds], dim=1)
    if (positions := inputs.get("position_ids")) is not None:
        first = torch.arange(prompt.count, device=positions.device).expand(len(positions), -1)
        inputs["position_ids"] = torch.cat([first, positions], dim=1)
