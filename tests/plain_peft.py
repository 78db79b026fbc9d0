"""The other side of the comparisons: plain PEFT with what we exported."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import (
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedModel

from hf_mtl.models import RoutedModel
from hf_mtl.versions import cache_argument, plain_prefix_problem

__all__ = ["assert_as_near", "for_plain_peft", "from_folder", "relative_error", "shake"]


def for_plain_peft(base: PreTrainedModel) -> PreTrainedModel:
    """A base that plain PEFT can give its virtual tokens to: it knows the cache by the name that PEFT knows.

    A base of transformers 5.24 and newer takes the cache as `cache`, and peft up to 0.21.2 looks for `past_key_values`
    (tests/test_versions.py shows what becomes of it). Only the name is translated, on this object, so that what is
    compared stays PEFT's own; with other versions the base stays as it is.
    """
    if plain_prefix_problem() is not None:
        for model in base.modules():
            if isinstance(model, PreTrainedModel):
                _take_old_name(model)
        if base.can_generate():
            _give_old_name(base)
    return base


def _take_old_name(model: PreTrainedModel) -> None:
    forward: Any = model.forward

    @functools.wraps(forward)
    def translated(*args: Any, **kwargs: Any) -> Any:  # Any: a forward's own arguments and output
        if "past_key_values" in kwargs:
            kwargs[cache_argument()] = kwargs.pop("past_key_values")
        return forward(*args, **kwargs)

    parameters = list(inspect.signature(forward).parameters.values())
    place = next((i for i, parameter in enumerate(parameters) if parameter.name == cache_argument()), None)
    if place is not None:
        parameters.insert(place, parameters[place].replace(name="past_key_values"))
        vars(translated)["__signature__"] = inspect.Signature(parameters)
    vars(model)["forward"] = translated


def _give_old_name(model: PreTrainedModel) -> None:
    prepare: Any = model.prepare_inputs_for_generation

    @functools.wraps(prepare)
    def translated(*args: Any, **kwargs: Any) -> dict[str, Any]:  # Any: as above
        inputs: dict[str, Any] = prepare(*args, **kwargs)
        if cache_argument() in inputs:
            inputs["past_key_values"] = inputs.pop(cache_argument())
        return inputs

    vars(model)["prepare_inputs_for_generation"] = translated


def from_folder(base: PreTrainedModel, folder: Path) -> tuple[PeftModel, Mapping[str, Tensor]]:
    """Plain PEFT with a folder's adapter, trainable, and its parameters by the keys of its files."""
    config = PeftConfig.from_pretrained(str(folder))
    if not config.is_prompt_learning:
        plain = PeftModel.from_pretrained(base, folder, is_trainable=True)
        named = dict(plain.named_parameters())
        return plain, get_peft_model_state_dict(plain, state_dict=named, save_embedding_layers=False)
    dtype = torch.promote_types(base.dtype, torch.float32)
    config.inference_mode = (
        False  # PEFT does not load virtual tokens for training, so they are made and filled
    )
    plain = get_peft_model(for_plain_peft(base), config)
    plain.prompt_encoder.to(dtype)
    set_peft_model_state_dict(plain, load_file(folder / "adapter_model.safetensors"))
    named = dict(plain.named_parameters())
    heads = {
        key.replace(".modules_to_save.default", ""): own
        for key, own in named.items()
        if ".modules_to_save." in key
    }
    return plain, {"prompt_embeddings": plain.prompt_encoder.default.embedding.weight} | heads


def shake(model: RoutedModel, name: str, seed: int) -> None:
    """Move an adapter's weights away from where they change nothing; the same weights in every dtype."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.adapter_parameters(name).values():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data.copy_((parameter.data.float() + 0.1 * noise).bfloat16())


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """||difference|| / ||expected||."""
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).norm() / expected.norm())


def assert_as_near(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], truth: Mapping[str, Tensor]
) -> None:
    """Our results in bf16 must be about as near to a more exact one as plain PEFT's are.

    Rounding in a sequence's pass reaches all its gradients together, so that an adapter with two rows may be 1.6 times
    farther off than plain PEFT's, or nearer. Half of all tensors must be about as near; the worst is bounded.
    """
    own = {key: relative_error(ours[key], truth[key]) for key in truth}
    plain = {key: relative_error(theirs[key], truth[key]) for key in theirs}
    ratios = torch.tensor([own[key] / plain[key] for key in plain])
    assert ratios.median() < 1.2  # measured: 0.9 to 1.1
    assert max(own.values()) < 2 * max(plain.values())  # measured: 0.5 to 1.5
