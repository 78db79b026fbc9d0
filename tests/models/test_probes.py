"""A base that would tie tasks together is found out by running it: mended where it can be, and told otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny_bases import BART, CASES, DECODER, ENCODER, VIT
from torch import Tensor, nn
from torch.nn.functional import dropout
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BeitConfig,
    BeitModel,
    LlamaConfig,
    MixtralConfig,
    MobileBertConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
)

from hf_mtl.models import RoutedModel
from hf_mtl.models.probes import Extent, Finding, probe_isolation, probing

ROWS = Extent(shortest=4, longest=40)


@pytest.fixture(autouse=True)
def nothing_is_known() -> Iterator[None]:
    """What was found out about a base is not asked again in this process, and tests change bases behind its back."""
    probing._OUTCOMES.clear()
    yield
    probing._OUTCOMES.clear()


def _noisy(base: PreTrainedModel) -> PreTrainedModel:
    """Weights that are nowhere 0 or 1: a leak through an embedding or a norm would not be seen there."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return base


def _only(findings: tuple[Finding, ...], probe: str) -> Finding:
    (found,) = [finding for finding in findings if finding.probe == probe]
    return found


def _bart(**changes: float) -> RoutedModel:
    options = BART | {"dropout": 0.1, "activation_dropout": 0.1, "attention_dropout": 0.1} | changes
    return RoutedModel(_noisy(AutoModelForSeq2SeqLM.from_config(BartConfig(**options))))


def test_functional_dropout_is_off() -> None:
    model = _bart(encoder_layerdrop=0.5, decoder_layerdrop=0.5)
    rates = ("dropout", "activation_dropout", "attention_dropout", "layerdrop")
    found = [vars(m)[rate] for m in model.base.modules() for rate in rates if rate in vars(m)]
    assert len(found) >= 10 and not any(found)
    assert probe_isolation(model, ROWS) == ()


@pytest.mark.parametrize("rate", ["dropout", "layerdrop"])
def test_a_rate_that_is_left_is_found_however_rarely_it_acts(rate: str) -> None:
    model = _bart()
    where = "model.encoder" if rate == "layerdrop" else "model.decoder.layers.0"
    setattr(model.base.get_submodule(where), rate, 1e-3)
    found = _only(probe_isolation(model, ROWS), "repetition")
    assert found.difference > 1e-3 and found.text.count(repr(where)) == 1, found.text
    # transformers 5.17 draws in whole encoders and decoders too, for a layerdrop of 0.
    assert "random numbers are drawn in '" in found.text


def test_drop_path_is_off() -> None:
    base = _noisy(BeitModel(BeitConfig(**VIT | {"drop_path_rate": 0.3, "layer_scale_init_value": 1.0})))
    assert probe_isolation(RoutedModel(base), Extent()) == ()
    path: Any = next(m for m in base.modules() if "drop_prob" in vars(m))  # Any: an attribute that is a float
    path.drop_prob = 0.001
    probing._OUTCOMES.clear()
    assert probe_isolation(RoutedModel(base), Extent()) == ()  # the constructor looks at it again
    path.drop_prob = 0.001
    probing._OUTCOMES.clear()
    model = RoutedModel(base)
    path.drop_prob = 0.001
    assert _only(probe_isolation(model, Extent()), "repetition")


def test_noise_of_a_router_is_switched_off_for_every_copy_of_a_base() -> None:
    config = MixtralConfig(
        **DECODER | {"num_key_value_heads": 2}, num_local_experts=4, router_jitter_noise=0.2
    )
    for _ in range(2):  # the second one is not probed again
        model = RoutedModel(_noisy(AutoModelForCausalLM.from_config(config)))
        assert config.router_jitter_noise == 0.2  # the user's object
        noise = [m for m in model.base.modules() if vars(m).get("jitter_noise")]
        assert len(noise) == 2 and probe_isolation(model, ROWS) == ()
        assert not any(vars(module)["jitter_noise"] for module in noise)


def test_noise_that_counts_in_evaluation_too_is_left_and_told() -> None:
    model = RoutedModel(_noisy(CASES["LlamaForCausalLM"].base(torch.float32)))
    layer: Any = model.base.get_submodule("model.layers.1.mlp")  # Any: it gets an attribute that is a float
    layer.noise = 0.5

    def disturb(module: Any, _: Any, output: Tensor) -> Tensor:  # Any: a module's own
        disturbed: Tensor = output + module.noise * (torch.rand_like(output) if module.training else 1.0)
        return disturbed

    layer.register_forward_hook(disturb)
    assert _only(probe_isolation(model, ROWS), "repetition").difference > 1e-3
    assert layer.noise == 0.5


def test_dropout_at_a_fixed_rate_is_told_and_nothing_is_disturbed() -> None:
    model = RoutedModel(CASES["LlamaForCausalLM"].base(torch.float32)).eval()
    layer = model.base.get_submodule("model.layers.0.mlp")
    layer.register_forward_hook(lambda m, _, output: dropout(output, 0.1, training=m.training))
    calls: list[int] = []
    layer.register_forward_hook(lambda *_: calls.append(1))
    state = torch.get_rng_state()
    found = _only(probe_isolation(model, ROWS), "repetition")
    assert torch.equal(state, torch.get_rng_state()) and not model.training
    assert found.difference > 1e-3 and "random numbers are drawn" in found.text
    count = len(calls)
    assert count > 0 and probe_isolation(model, ROWS) == (found,) and len(calls) == count
    probe_isolation(model, Extent(4, 30))
    assert len(calls) > count


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_statistic_of_the_batch_is_told(dtype: torch.dtype) -> None:
    class OverTheBatch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(dim=(0, 1))

    model = RoutedModel(CASES["LlamaForCausalLM"].base(dtype))
    assert probe_isolation(model, ROWS) == ()
    probing._OUTCOMES.clear()
    model.base.get_submodule("model").register_module("norm", OverTheBatch())
    found = _only(probe_isolation(model, ROWS), "neighbours")
    assert found.difference > 0.05 >= found.limit


def test_padding_that_leaks_is_told() -> None:
    config = MobileBertConfig(**ENCODER, embedding_size=16)
    model = RoutedModel(_noisy(AutoModelForMaskedLM.from_config(config)))
    found = _only(probe_isolation(model, ROWS), "neighbours")
    assert found.difference > 1e-2 and "than alone" in found.text


def _rotary(kind: str) -> PreTrainedModel:
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": 1e4, "original_max_position_embeddings": 24}
    sizes = DECODER | {"num_key_value_heads": 2, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 3}
    if kind == "dynamic":
        rope |= {"factor": 4.0}
        sizes |= {"max_position_embeddings": 24, "rope_parameters": rope}
        return _decoder(LlamaConfig(**sizes))
    rope |= {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "partial_rotary_factor": 1.0}
    config = Phi3Config(**sizes, original_max_position_embeddings=24, rope_parameters=rope)
    return _decoder(config)


def _decoder(config: PreTrainedConfig) -> PreTrainedModel:
    base: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return base


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_rotary_positions_that_look_at_the_longest_row(kind: str) -> None:
    assert probe_isolation(RoutedModel(_rotary(kind)), Extent(4, 24)) == ()
    found = _only(probe_isolation(RoutedModel(_rotary(kind)), Extent(4, 100_000)), "positions")
    assert found.difference > 0.1 and "'model.rotary_emb'" in found.text
    assert found.remedy == "set max_length=24, up to which they are the same"


@pytest.mark.parametrize("name", CASES)
def test_tested_bases_are_isolated(name: str) -> None:
    assert probe_isolation(RoutedModel(CASES[name].base(torch.float32)), ROWS) == ()
