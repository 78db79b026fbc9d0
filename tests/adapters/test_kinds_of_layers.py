"""Planning of every kind, and single routed layers against PEFT's own layers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    PEFT_TYPE_TO_CONFIG_MAPPING,
    IA3Config,
    LoraConfig,
    LoraRuntimeConfig,
    PeftConfig,
    PeftType,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    PreTrainedModel,
)

from hf_mtl.adapters import KINDS, LayerUpdate, RoutedLinear, RoutedPass, Span, install, plan_adapter
from hf_mtl.adapters.dropout import keyed_mask, layer_key
from hf_mtl.errors import ConfigError

TOKENS = 7


def _llama(dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=41, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
    )
    base: PreTrainedModel = AutoModelForCausalLM.from_config(config).to(dtype)
    return base


def _gpt2() -> PreTrainedModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(
        GPT2Config(vocab_size=41, n_embd=16, n_layer=1, n_head=2, n_positions=32, tie_word_embeddings=False)
    ).double()


def _lora(**options: Any) -> LoraConfig:
    return LoraConfig(**{"r": 2, "init_lora_weights": False} | options)


REFUSED = [kind for kind in PeftType if kind not in KINDS]
PROMPTS = (PeftType.PREFIX_TUNING, PeftType.PROMPT_TUNING)


@pytest.mark.parametrize("kind", [kind for kind in REFUSED if kind not in PROMPTS])
def test_every_other_kind_is_refused_by_name(kind: PeftType) -> None:
    config = PeftConfig.__new__(PEFT_TYPE_TO_CONFIG_MAPPING[kind])
    config.peft_type = kind  # some kinds need much else, which is of no concern here
    with pytest.raises(ConfigError, match=f"{type(config).__name__} .*'{kind.value}'.*LORA, IA3"):
        plan_adapter(_llama(), config, seed=0)


def test_a_config_without_a_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"PeftConfig \(peft_type None\) is not supported"):
        plan_adapter(_llama(), PeftConfig(), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4'.*changes the base's weights"),
        ({"init_lora_weights": "olora"}, "changes the base's weights"),
        ({"init_lora_weights": "mica"}, "holds lora_B still"),
        ({"init_lora_weights": "surprise"}, "it is unknown. Choose one of True, False, 'gaussian'"),
        ({"bias": "all"}, r"bias='all'\) is not supported: it trains the base's own biases"),
        ({"lora_bias": True}, "the bias of lora_B"),
        ({"trainable_token_indices": [1, 2]}, "rows of the base's embedding"),
        ({"layer_replication": [(0, 1)]}, "depth"),
        ({"runtime_config": LoraRuntimeConfig(ephemeral_gpu_offload=True)}, "would have to be ignored"),
        ({"target_modules": ["embed_tokens"]}, "layer of type Embedding is not supported"),
        ({"target_modules": ["nothing"]}, "Linear layers of this base are called 'down_proj', 'gate_proj'"),
        ({"init_lora_weights": "orthogonal", "r": 2, "rank_pattern": {"v_proj": 3}}, "rank to be even"),
        (
            {"modules_to_save": ["embed_tokens"]},
            "'model.embed_tokens', of type Embedding: a copy per adapter is",
        ),
        (
            {"modules_to_save": ["norm"]},
            "'model.*norm', of type LlamaRMSNorm: .* linear layers .* Leave the name out",
        ),
        ({"modules_to_save": ["lm_head", "score"]}, "modules_to_save names 'score'"),
    ],
)
def test_refusals_say_why_and_leave_the_base_alone(options: dict[str, Any], message: str) -> None:
    base = _llama()
    before = {name: id(module) for name, module in base.named_modules()}
    config = _lora(**{"target_modules": ["q_proj", "v_proj"]} | options)
    with pytest.raises(ConfigError, match=message):
        plan_adapter(base, config, seed=0)
    assert {name: id(module) for name, module in base.named_modules()} == before
    assert "peft_config" not in vars(base)


@pytest.mark.parametrize("kind", [LoraConfig, IA3Config])
@pytest.mark.parametrize("transposed", [False, True])
def test_no_user_is_warned_of_what_peft_sets_by_itself(
    kind: type[LoraConfig | IA3Config], transposed: bool
) -> None:
    """An ordinary config fits GPT-2, whose layers are transposed and whose head is not; warnings are errors here."""
    config = kind(target_modules=["c_attn", "lm_head"], fan_in_fan_out=transposed, **FEEDFORWARD[kind])
    plan = plan_adapter(_gpt2(), config, seed=0)
    assert set(plan.updates) == {"transformer.h.0.attn.c_attn", "lm_head"}
    assert config.fan_in_fan_out is transposed  # the user's own object
    alone = plan_adapter(_gpt2(), kind(target_modules=["c_attn"], **FEEDFORWARD[kind]), seed=0)
    assert isinstance(alone.config, kind) and alone.config.fan_in_fan_out is True  # what is saved


FEEDFORWARD: dict[type, dict[str, Any]] = {LoraConfig: {}, IA3Config: {"feedforward_modules": []}}


@pytest.mark.parametrize("initialisation", [True, False, "gaussian", "orthogonal"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_initial_weights_are_pefts(initialisation: bool | str, dtype: torch.dtype) -> None:
    config = _lora(target_modules=["q_proj"], init_lora_weights=initialisation, use_dora=True)
    plan = plan_adapter(_llama(dtype), config, seed=5)
    base = _llama(dtype)
    torch.manual_seed(5)
    plain = get_peft_model(base, copy.deepcopy(config))
    for key, tensor in get_peft_model_state_dict(plain, save_embedding_layers=False).items():
        ours = _by_file_key(plan.updates)[key]
        assert ours.dtype == torch.float32 and torch.equal(ours, tensor.float())


def _by_file_key(updates: Mapping[str, LayerUpdate]) -> dict[str, nn.Parameter]:
    return {
        f"base_model.model.{path}.{ending}": parameter
        for path, update in updates.items()
        for ending, parameter in update.file_parameters().items()
    }


def _plain_layers(base: PreTrainedModel, config: PeftConfig, weights: Mapping[str, Tensor]) -> nn.Module:
    plain = get_peft_model(base, copy.deepcopy(config))
    set_peft_model_state_dict(plain, {key: tensor.detach().clone() for key, tensor in weights.items()})
    inner = plain.base_model.model
    assert isinstance(inner, nn.Module)
    return inner


def _stacked(
    base: PreTrainedModel, configs: list[PeftConfig]
) -> tuple[dict[str, RoutedLinear], list[nn.Module]]:
    """The base's layers with all adapters on them, and plain PEFT models with one each; all weights moved."""
    torch.manual_seed(1)
    plans = [plan_adapter(base, config, seed=i) for i, config in enumerate(configs)]
    layers: dict[str, RoutedLinear] = {}
    plain = []
    for i, (config, plan) in enumerate(zip(configs, plans, strict=True)):
        with torch.no_grad():
            for parameter in _by_file_key(plan.updates).values():
                parameter.add_(0.3 * torch.randn_like(parameter))
        plain.append(_plain_layers(copy.deepcopy(base), config, _by_file_key(plan.updates)))
        for path, update in plan.updates.items():
            layers.setdefault(path, RoutedLinear(base.get_submodule(path))).adapters[f"mtl_{i}"] = update
    return layers, plain


LLAMA_KINDS = [
    _lora(target_modules=["q_proj", "lm_head"]),
    _lora(target_modules=["q_proj", "lm_head"], use_dora=True),
    IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"]),
    _lora(target_modules=["down_proj"], modules_to_save=["q_proj", "lm_head"]),
]
GPT2_KINDS = [
    _lora(target_modules=["c_attn"], fan_in_fan_out=True),
    _lora(target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, use_dora=True),
    IA3Config(target_modules=["c_attn", "c_fc"], feedforward_modules=["c_fc"], fan_in_fan_out=True),
    _lora(target_modules=["c_proj"], fan_in_fan_out=True, modules_to_save=["c_attn"]),
]


@pytest.mark.parametrize(
    ("base", "configs"), [(_llama, LLAMA_KINDS), (_gpt2, GPT2_KINDS)], ids=["llama", "gpt2"]
)
def test_weighted_effects_add_up_in_overlapping_spans(
    base: Callable[[], PreTrainedModel], configs: list[PeftConfig]
) -> None:
    bare = base().requires_grad_(False)
    layers, plain = _stacked(bare, configs)
    spans = (Span("mtl_0", 1, 5, 0.5), Span("mtl_1", 1, 5, -0.25), Span("mtl_2", 3, 6, 1.5),
             Span("mtl_3", 0, 2, 1.25), Span("mtl_1", 6, 7), Span("mtl_2", 4, 4))  # fmt: skip
    compared = 0
    for path, layer in layers.items():
        theirs = [model.get_submodule(path) for model in plain]
        x = torch.randn(TOKENS, _width(bare, path), dtype=torch.float64, requires_grad=True)
        with install(RoutedPass(spans=spans, lengths=(TOKENS,))):
            actual = layer(x)
        expected = layer.base_layer(x)
        for span in spans:
            own = slice(span.start, span.stop)
            effect = theirs[int(span.adapter[-1])](x[own]) - layer.base_layer(x[own])
            padded = torch.zeros_like(expected)
            padded[own] = span.weight * effect
            expected = expected + padded
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
        direction = torch.randn_like(expected)
        gradients = [torch.autograd.grad((y * direction).sum(), x)[0] for y in (actual, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)
        compared += 1
    assert compared == len(layers) >= 3


def _width(base: PreTrainedModel, path: str) -> int:
    layer = base.get_submodule(path)
    if isinstance(layer, nn.Linear):
        return layer.in_features
    assert isinstance(layer.weight, Tensor)
    return layer.weight.shape[0]


class _GivenMask(nn.Dropout):
    """Dropout with a mask from outside, to give PEFT the masks that the routed pass drew."""

    mask: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


@pytest.mark.parametrize("dora", [False, True])
def test_dropout_is_where_peft_has_it(dora: bool) -> None:
    bare = _llama().requires_grad_(False)
    config = _lora(target_modules=["q_proj"], use_dora=dora, lora_dropout=0.3)
    layers, (plain,) = _stacked(bare, [config])
    ((path, layer),) = layers.items()
    routed = RoutedPass(spans=(Span("mtl_0", 0, TOKENS),), lengths=(3, 4), dropout_keys=(8, 9))
    update = layer.update("mtl_0")
    mask = keyed_mask(routed, 0, TOKENS, torch.zeros(1, 16).double(), p=0.3, key=layer_key(path))
    given = _GivenMask(0.3)
    given.mask = mask / (1 - 0.3)
    theirs = plain.get_submodule(path).train()
    theirs.get_submodule("lora_dropout").add_module("default", given)
    x = torch.randn(TOKENS, 16, dtype=torch.float64, requires_grad=True)
    with install(routed):
        actual = layer.train()(x)
    expected = theirs(x)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    parameters = dict(theirs.named_parameters())
    names = {ending: ending.replace("lora_A", "lora_A.default").replace("lora_B", "lora_B.default")
             .replace("lora_magnitude_vector", "lora_magnitude_vector.default.weight")
             for ending in update.file_parameters()}  # fmt: skip
    ours = torch.autograd.grad(actual.square().sum(), [x, *update.file_parameters().values()])
    wanted = torch.autograd.grad(expected.square().sum(), [x, *(parameters[name] for name in names.values())])
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-10)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    _llama(torch.float32).save_pretrained(folder)
    return folder


def _quantised(folder: Path, bits: int) -> PreTrainedModel:
    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    config = (
        BitsAndBytesConfig(load_in_4bit=True, **four) if bits == 4 else BitsAndBytesConfig(load_in_8bit=True)
    )
    base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, dtype=torch.float32
    )
    base.requires_grad_(False)
    base.train()
    return base


@pytest.mark.parametrize(
    ("bits", "config"),
    [
        (4, _lora(target_modules=["q_proj", "down_proj"])),
        (4, _lora(target_modules=["q_proj", "down_proj"], use_dora=True)),
        (4, IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"])),
        (8, _lora(target_modules=["q_proj", "down_proj"])),
        (8, IA3Config(target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"])),
    ],
)
def test_quantised_layers_equal_plain_pefts(bits: int, config: PeftConfig, quantised: Path) -> None:
    bare, other = _quantised(quantised, bits), _quantised(quantised, bits)
    plan = plan_adapter(bare, config, seed=0)
    weights = _by_file_key(plan.updates)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in weights.values():
            parameter.add_(0.3 * torch.randn_like(parameter))
    plain = _plain_layers(other, config, weights).train()
    for path, update in plan.updates.items():
        layer = RoutedLinear(bare.get_submodule(path))
        layer.adapters["mtl_0"] = update
        x = torch.randn(TOKENS, _width(bare, path), requires_grad=True)
        with install(RoutedPass(spans=(Span("mtl_0", 0, TOKENS),), lengths=(TOKENS,))):
            actual = layer(x)
        expected = plain.get_submodule(path)(x)
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(actual, layer.base_layer(x), atol=1e-2)
        gradients = [torch.autograd.grad(y.square().sum(), x)[0] for y in (actual, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-4)


def test_what_a_quantised_base_cannot_have_is_refused(quantised: Path) -> None:
    with pytest.raises(ConfigError, match="use_dora=True.*8-bit base"):
        plan_adapter(_quantised(quantised, 8), _lora(target_modules=["q_proj"], use_dora=True), seed=0)
    with pytest.raises(ConfigError, match="linear layers that are not quantised"):
        config = _lora(target_modules=["q_proj"], modules_to_save=["v_proj"])
        plan_adapter(_quantised(quantised, 4), config, seed=0)
