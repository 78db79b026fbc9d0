"""Adapters that come and go: memory is given back, the others answer to the bit as they did."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LoraConfig, PrefixTuningConfig
from plain_folders import answers, lora, routed, save_plain, stock

from hf_mtl import RoutedModel
from hf_mtl.adapters import RoutedLinear
from hf_mtl.errors import ConfigError
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec

Bases = Callable[[str], Path]


def _wrapped(model: RoutedModel) -> set[str]:
    return {path for path, module in model.base.named_modules() if isinstance(module, RoutedLinear)}


def test_removing_leaves_the_others_as_they_are(base: Bases, tmp_path: Path) -> None:
    configs = {
        "lora": lora(task_type="CAUSAL_LM", target_modules=["q_proj"]),
        "ia3": IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[]),
        "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
    }
    for i, (name, config) in enumerate(configs.items()):
        save_plain(tmp_path / name, stock(base("llama"), "causal"), config, seed=i)
    head = lora(task_type="TOKEN_CLS", target_modules=["v_proj"])
    save_plain(tmp_path / "head", stock(base("llama"), "token", num_labels=4), head)
    names = [*configs, "head"]
    model = routed(base("llama"))
    model.add_route("bare", {})
    bare, bits = answers(model, "bare", [1, 4]), {}
    for name in names:
        model.load_adapter(name, tmp_path / name)
        bits[name] = answers(model, name, [1, 4])
    for name in names:
        parameters = [weakref.ref(own) for own in model.adapter_parameters(name).values()]
        model.remove_adapter(name)
        gc.collect()
        assert parameters and not any(reference() is not None for reference in parameters)
        assert not model.has(name) and name not in model.routes
        for other in model.adapter_names:
            assert torch.equal(answers(model, other, [1, 4]), bits[other])
    assert not _wrapped(model) and len(list(model.parameters())) == len(list(model.base.parameters()))
    assert torch.equal(answers(model, "bare", [1, 4]), bare)
    for name in reversed(names):  # and back again, in another order
        model.load_adapter(name, tmp_path / name)
    assert all(torch.equal(answers(model, name, [1, 4]), bits[name]) for name in names)


def test_what_cannot_be_removed(base: Bases) -> None:
    model = routed(base("llama"))
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    for name in ("shared", "own"):
        model.add_adapter(name, config)
    model.add_route("own", {"shared": 1.0, "own": 1.0}, learned=["shared"])
    with pytest.raises(ConfigError, match=r"no adapter 'owm'.*Did you mean 'own'"):
        model.remove_adapter("owm")
    with pytest.raises(ConfigError, match="'shared' is used by the routes 'own'.*add_route"):
        model.remove_adapter("shared")
    model.remove_adapter("own")  # its route goes with it, and that route's learned weight
    assert set(model.routes) == {"shared"} and not list(model._scales)
    model.remove_adapter("shared")
    assert not model.adapter_names


def test_an_adapter_on_the_pooler(base: Bases) -> None:
    model = routed(base("bert"))
    config = LoraConfig(r=2, target_modules=["query", "pooler.dense"], init_lora_weights=False)
    for name in ("a", "b"):
        model.add_adapter(name, config, head=HeadSpec(HeadShape.SEQUENCE, 3))
    before = answers(model, "b", [0])
    model.remove_adapter("a")
    assert torch.equal(answers(model, "b", [0]), before)
    model.remove_adapter("b")
    assert not any(isinstance(module, RoutedLinear) for module in model.modules())


def test_an_adapter_is_in_the_models_mode(base: Bases, tmp_path: Path) -> None:
    config = lora(task_type="CAUSAL_LM", lora_dropout=0.5)
    save_plain(tmp_path, stock(base("llama"), "causal"), config)
    model = routed(base("llama"))
    model.load_adapter("own", tmp_path)
    assert not any(update.training for update in model.updates("own").values())
    assert all(own.requires_grad for own in model.adapter_parameters("own").values())
    model.train().load_adapter("other", tmp_path)
    assert all(update.training for update in model.updates("other").values())


def test_a_base_that_cannot_be_loaded(base: Bases) -> None:
    with pytest.raises(ConfigError, match="revision='v1' is of a Hub id, and .* is a folder"):
        RoutedModel.from_pretrained(base("llama"), {}, revision="v1")
