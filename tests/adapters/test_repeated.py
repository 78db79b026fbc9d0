"""Many adapters of one config: placed without PEFT after the first, with the bits that PEFT would have given."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, PeftConfig
from tiny_decoders import SHAPE
from torch import nn
from transformers import (
    AutoModelForTokenClassification,
    BertConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
)

from hf_mtl.adapters import LoraUpdate, plan_adapter
from hf_mtl.adapters.repeated import planned_again
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads.stock import stock_head

CONFIGS = {
    "all": LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1),
    "pattern": LoraConfig(r=2, target_modules=["q_proj", "down_proj"], rank_pattern={"down_proj": 3}, use_rslora=True),
    "layer": LoraConfig(r=2, target_modules=["v_proj"], layers_to_transform=[1]),
}  # fmt: skip


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPE))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_second_adapter_is_the_one_of_peft(config: PeftConfig, dtype: torch.dtype) -> None:
    base = tiny_llama()
    base.to(dtype)  # type: ignore[arg-type]  # its stub knows devices alone
    state = torch.get_rng_state()
    plan_adapter(base, copy.deepcopy(config), seed=1)
    again = planned_again(base, copy.deepcopy(config), seed=2)
    assert again is not None and torch.equal(torch.get_rng_state(), state)
    pefts = plan_adapter(copy.deepcopy(base), config, seed=2)  # a base that has had none
    assert again.config == pefts.config and vars(again.config)["target_modules"] != "all-linear"
    assert list(again.updates) == list(pefts.updates)
    for path, update in pefts.updates.items():
        other = again.updates[path]
        assert isinstance(update, LoraUpdate) and isinstance(other, LoraUpdate)
        assert repr(other) == repr(update) and other._key == update._key
        assert other.lora_A.dtype == update.lora_A.dtype and other.lora_A.requires_grad
        assert torch.equal(other.lora_A, update.lora_A) and torch.equal(other.lora_B, update.lora_B)


def test_what_is_drawn_otherwise_or_is_no_lora_of_this_base_goes_through_peft() -> None:
    base = tiny_llama()
    for odd in (
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="gaussian"),
        LoraConfig(r=2, target_modules=["q_proj"], use_dora=True),
        LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["lm_head"]),
    ):
        plan_adapter(base, odd, seed=1)
        assert planned_again(base, odd, seed=1) is None
    config = LoraConfig(r=2, target_modules=["q_proj"])
    plan_adapter(base, config, seed=1)
    assert planned_again(base, LoraConfig(r=3, target_modules=["q_proj"]), seed=1) is None
    assert planned_again(base, config, seed=1) is not None
    layer = base.model.layers[0].self_attn
    layer.q_proj = nn.Linear(layer.q_proj.in_features, layer.q_proj.out_features, bias=False)
    assert planned_again(base, config, seed=1) is None


def test_one_adapters_config_is_not_anothers() -> None:
    base, config = tiny_llama(), CONFIGS["pattern"]
    plan_adapter(base, config, seed=1)
    one, other = planned_again(base, config, seed=1), planned_again(base, config, seed=1)
    assert one is not None and other is not None
    assert one.config is not other.config
    assert vars(one.config)["target_modules"] is not vars(other.config)["target_modules"]


@pytest.mark.parametrize("config", [LlamaConfig(**SHAPE), BertConfig(**SHAPE)], ids=["llama", "bert"])
def test_a_heads_weights_do_not_depend_on_the_trunk_that_is_not_drawn(config: PreTrainedConfig) -> None:
    head = stock_head(config, HeadShape.TOKEN, outputs=3, seed=5).modules
    config = copy.deepcopy(config)
    config.num_labels = 3
    with torch.device("meta"):
        whole = AutoModelForTokenClassification.from_config(config)
    modules = {name: whole.get_submodule(name).to_empty(device="cpu") for name in head}
    torch.manual_seed(5)
    for module in whole.modules():
        whole._init_weights(module)
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            assert torch.equal(head[name].state_dict()[key], value), (name, key)


def test_heads_of_one_class_are_drawn_each_by_its_seed_and_share_nothing() -> None:
    config = BertConfig(**SHAPE)
    one, other, again = (stock_head(config, HeadShape.TOKEN, outputs=3, seed=seed) for seed in (5, 6, 5))
    weights = [head.modules["classifier"].state_dict()["weight"] for head in (one, other, again)]
    assert torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[1])
    assert len({weight.data_ptr() for weight in weights}) == 3
    larger = stock_head(config, HeadShape.TOKEN, outputs=4, seed=5)
    assert larger.modules["classifier"].state_dict()["weight"].shape[0] == 4
    config.hidden_size = 16
    assert (
        stock_head(config, HeadShape.TOKEN, outputs=3, seed=5)
        .modules["classifier"]
        .state_dict()["weight"]
        .shape[1]
        == 16
    )
