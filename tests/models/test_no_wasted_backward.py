"""No gradient is computed below the lowest adapter that needs one; bf16 by autocast; compiled bases."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from hf_mtl.data import Chunk, PackedBatch, Sequence, pack
from hf_mtl.errors import ConfigError
from hf_mtl.models import RoutedModel

CONFIG = LlamaConfig(
    vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
)  # fmt: skip


def _base() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(copy.deepcopy(CONFIG))


def _model(**options: Any) -> RoutedModel:
    model = RoutedModel(_base())
    for name in ("a", "b"):
        model.add_adapter(
            name, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, **options)
        )
    return model.train()


def _batch() -> PackedBatch:
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    return pack([Chunk(name, [Sequence.next_token(name, ids, ids, row=i)]) for i, name in enumerate("ab")])


def _asks_for_gradients(model: RoutedModel, batch: PackedBatch) -> dict[int, bool]:
    """Whether the output of each decoder layer hangs on a gradient."""
    asked: dict[int, bool] = {}

    def note(index: int, output: Tensor) -> None:
        asked[index] = output.requires_grad

    hooks = [
        layer.register_forward_hook(lambda module, args, output, i=i: note(i, output))
        for i, layer in enumerate(model.base.model.layers)
    ]
    model(batch)
    for hook in hooks:
        hook.remove()
    return asked


def test_nothing_below_the_lowest_adapter() -> None:
    batch = _batch()
    assert _asks_for_gradients(_model(), batch) == {0: True, 1: True, 2: True}
    assert _asks_for_gradients(_model(layers_to_transform=[2]), batch) == {0: False, 1: False, 2: True}


def test_nothing_below_the_lowest_adapter_that_is_not_frozen() -> None:
    model, batch = _model(), _batch()
    for name in ("a", "b"):
        for key, parameter in model.adapter_parameters(name).items():
            parameter.requires_grad_("layers.2." in key)
    assert _asks_for_gradients(model, batch) == {0: False, 1: False, 2: True}
    model(batch).sum().backward()
    for name in ("a", "b"):
        for key, parameter in model.adapter_parameters(name).items():
            assert (parameter.grad is not None) == ("layers.2." in key), key


def test_autocast_is_as_exact_as_plain_peft_under_autocast() -> None:
    """Against fp32, at most 1.5 times the error that plain PEFT makes: rounding in another order, nothing more."""
    model, batch = _model(), _batch()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch)
    assert logits.dtype == torch.bfloat16
    logits.float().square().sum().backward()
    routed = {key: p.grad for key, p in model.adapter_parameters("a").items() if p.grad is not None}
    assert len(routed) == len(model.adapter_parameters("a"))
    cast, exact = (_plain_gradients(model, batch.input_ids[None, :8], autocast=on) for on in (True, False))
    assert all(gradient.dtype == torch.float32 for gradient in routed.values())
    assert _distance(routed, exact) <= 1.5 * _distance(cast, exact)


def _plain_gradients(model: RoutedModel, tokens: Tensor, *, autocast: bool) -> dict[str, Tensor]:
    plain = get_peft_model(_base(), copy.deepcopy(model.adapter_configs["a"])).train()
    parameters = dict(plain.named_parameters())
    keys = {key: key.replace(".weight", ".default.weight") for key in model.adapter_parameters("a")}
    with torch.no_grad():
        for key, parameter in model.adapter_parameters("a").items():
            parameters[keys[key]].copy_(parameter)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = plain(tokens).logits[0, :-1]
    logits.float().square().sum().backward()
    gradients = {key: parameters[keys[key]].grad for key in keys}
    return {key: gradient for key, gradient in gradients.items() if gradient is not None}


def _distance(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float((left[key] - right[key]).square().sum()) for key in right))


@pytest.mark.filterwarnings(
    "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"
)  # torch's own import
def test_a_compiled_base_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"found OptimizedModule.*before torch\.compile"):
        RoutedModel(torch.compile(_base()))  # type: ignore[arg-type]  # what is refused
    base = _base()
    nn.Module.compile(base)
    with pytest.raises(ConfigError, match=r"compiled \(model\.compile\(\)\)"):
        RoutedModel(base)
