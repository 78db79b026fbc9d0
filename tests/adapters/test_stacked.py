"""LoRAs as one masked product give what each by itself gives, while spans, weights and factors change."""

from __future__ import annotations

import dataclasses

import torch
from peft import IA3Config, LoraConfig, PeftConfig
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from hf_mtl.adapters import RoutedLinear, RoutedPass, Span, install, plan_adapter
from hf_mtl.adapters.stacked import StackedLoras

TOKENS, WIDTH = 7, 16
CONFIGS: list[PeftConfig] = [
    LoraConfig(r=2, lora_alpha=6, init_lora_weights=False, target_modules=["q_proj"]),
    LoraConfig(r=3, lora_alpha=3, init_lora_weights=False, target_modules=["q_proj"]),
    IA3Config(target_modules=["q_proj"], feedforward_modules=[]),
]


def _layer(configs: list[PeftConfig]) -> RoutedLinear:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=41, hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2
    )
    base = LlamaForCausalLM(config).double().requires_grad_(False)
    plans = [plan_adapter(base, config, seed=i) for i, config in enumerate(configs)]
    ((path, _),) = plans[0].updates.items()
    layer = RoutedLinear(base.get_submodule(path))
    for i, plan in enumerate(plans):
        layer.adapters[f"mtl_{i}"] = plan.updates[path]
        for parameter in plan.updates[path].parameters():
            nn.init.normal_(parameter)
    return layer


def _both(layer: RoutedLinear, form: StackedLoras, *spans: Span) -> tuple[Tensor | None, Tensor]:
    """What the form gives, and what the layer gives without one."""
    routed = RoutedPass(spans=spans, lengths=(TOKENS,))
    x = torch.randn(TOKENS, WIDTH, dtype=torch.float64)
    with torch.no_grad(), install(routed):
        plain = layer(x)
        made = form.output(layer, x, routed)
    with torch.no_grad(), install(dataclasses.replace(routed, form=form)):
        torch.testing.assert_close(layer(x), plain, rtol=1e-12, atol=1e-12)
    return made, plain


def test_spans_weights_and_factors_change_between_passes() -> None:
    layer, form = _layer(CONFIGS), StackedLoras()
    factor = torch.tensor(0.25, dtype=torch.float64)
    rounds = [
        [Span("mtl_0", 0, 3), Span("mtl_1", 3, 7)],
        [Span("mtl_0", 0, 5), Span("mtl_1", 6, 7)],  # the same adapters elsewhere, one token bare
        [Span("mtl_1", 0, 3), Span("mtl_0", 3, 7)],
        [Span("mtl_0", 0, 7, 0.5), Span("mtl_1", 2, 4, -2.0)],  # a stack of two
        [Span("mtl_0", 0, 7, 0.5, factor), Span("mtl_1", 2, 4, -2.0)],
        [Span("mtl_0", 0, 3), Span("mtl_2", 3, 7)],  # beside a kind that is no low-rank product
        [Span("mtl_1", 0, 7)],
    ]
    for spans in [*rounds, *rounds]:
        made, plain = _both(layer, form, *spans)
        assert made is not None
        torch.testing.assert_close(made, plain, rtol=1e-12, atol=1e-12)


def test_the_ordinary_way_is_left_to_others() -> None:
    layer = _layer(CONFIGS)
    assert _both(layer, StackedLoras(), Span("mtl_2", 0, 7))[0] is None  # no LoRA at all
    made, plain = _both(layer, StackedLoras(), Span("elsewhere", 0, 7))  # nothing acts on this layer
    assert made is not None and torch.equal(made, plain)
    with torch.autocast("cpu"):
        assert StackedLoras().output(layer, torch.randn(2, WIDTH), RoutedPass(lengths=(2,))) is None


def test_what_is_not_finite_stays_with_its_own_tokens() -> None:
    """Zero times infinity is no number: such a layer is computed span by span."""
    for name, parameter in (("lora_A", 0), ("lora_B", 1)):
        layer = _layer(CONFIGS[:2])
        broken = dict(layer.update("mtl_0").named_parameters())[name]
        broken.data[parameter, 0] = torch.inf
        spans = (Span("mtl_0", 0, 3), Span("mtl_1", 3, 7))
        routed = RoutedPass(spans=spans, lengths=(TOKENS,), form=StackedLoras())
        x = torch.randn(TOKENS, WIDTH, dtype=torch.float64)
        with torch.no_grad(), install(routed):
            assert StackedLoras().output(layer, x, routed) is None
            y = layer(x)
        assert not y[:3].isfinite().all() and y[3:].isfinite().all()
