"""Every kind of adapter on every architecture: one mixed batch against plain PEFT, sequence by sequence."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.torch import load_file
from tiny_bases import CASES, Case, by_itself, laid_out, make_sequence, outputs_of, score
from torch import Tensor

from hf_mtl.data import Sequence
from hf_mtl.export import save_suite
from hf_mtl.models import RoutedModel
from hf_mtl.models.architectures import architecture_of

BARE, ABSENT = "bare", "absent"
EPSILON = {torch.float64: 1e-10, torch.float32: 1e-5}

pytestmark = [
    # PEFT says of a tied head that merging would be unsafe; nothing is merged here.
    pytest.mark.filterwarnings("ignore:.*tied layer is part of the adapter:UserWarning"),
    # Plain PEFT, when it loads an adapter on both of GPT-2's kinds of layers: one of them is always the other kind.
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to:UserWarning"),
]


def _lora(case: Case, **options: object) -> LoraConfig:
    """On all linear layers, as the case has it, unless the options name some."""
    given = {"r": 4, "lora_alpha": 8, "init_lora_weights": False} | dict(case.adapter) | options
    return LoraConfig(**given)


def _adapters(case: Case) -> dict[str, PeftConfig]:
    """One adapter of each kind that the case's base can have."""
    layers = case.layers
    transposed = "fan_in_fan_out" in dict(case.adapter)
    heads = [] if layers.head is None else [layers.head]
    kinds: dict[str, PeftConfig] = {
        "lora": _lora(case),
        "dora": _lora(
            case,
            use_dora=True,
            target_modules=[*layers.attention, layers.other, *heads],
            exclude_modules=None,
        ),
        "ia3": IA3Config(
            target_modules=[*layers.attention, layers.feedforward],
            feedforward_modules=[layers.feedforward],
            fan_in_fan_out=transposed,
        ),
        "own": _lora(
            case,
            target_modules=list(layers.attention),
            exclude_modules=None,
            modules_to_save=[layers.feedforward, *heads],
        ),
        "prefix": PrefixTuningConfig(num_virtual_tokens=4),
        "prompt": PromptTuningConfig(num_virtual_tokens=3),
    }
    refused = architecture_of(case.base()).refused
    return {name: config for name, config in kinds.items() if config.peft_type not in refused}


def _sequences(case: Case, names: list[str]) -> list[Sequence]:
    routes = [*names, BARE, *names[::2], BARE]
    return [make_sequence(case, route, 6 + 3 * i % 8, row=i) for i, route in enumerate(routes)]


def _model(case: Case, dtype: torch.dtype) -> RoutedModel:
    """Every kind, moved away from where it changes nothing; the same weights in every dtype."""
    model = RoutedModel(case.base(dtype))
    adapters = _adapters(case) | {ABSENT: _lora(case, use_dora=True)}
    for i, (name, config) in enumerate(adapters.items()):
        model.add_adapter(name, config)
        generator = torch.Generator().manual_seed(i)
        for parameter in model.adapter_parameters(name).values():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_((parameter.data.float() + 0.1 * noise).bfloat16())
    model.add_route(BARE, {})
    return model


Results = dict[str, Tensor]


def _by_routed_pass(model: RoutedModel, sequences: list[Sequence], names: list[str]) -> Results:
    outputs = outputs_of(model, laid_out(model, sequences))
    torch.stack([score(output) for output in outputs.values()]).sum().backward()
    results = {f"row {row}": output.detach() for (_, row), output in outputs.items()}
    for name in names:
        found = {key: p.grad for key, p in model.adapter_parameters(name).items()}
        results |= {f"{name} {key}": grad for key, grad in found.items() if grad is not None}
    return results


def _by_plain_peft(case: Case, dtype: torch.dtype, folder: Path, sequences: list[Sequence]) -> Results:
    """Each adapter from its exported folder, each sequence by itself."""
    results: Results = {}
    for name in {sequence.route: None for sequence in sequences}:
        plain, parameters = (case.base(dtype), {}) if name == BARE else _plain(case, dtype, folder / name)
        for sequence in (s for s in sequences if s.route == name):
            output = by_itself(plain, sequence)
            results[f"row {sequence.row}"] = output.detach()
            if name != BARE:
                score(output).backward()
        assert name == BARE or any(p.grad is not None for p in parameters.values())
        results |= {f"{name} {key}": p.grad for key, p in parameters.items() if p.grad is not None}
    return results


def _plain(case: Case, dtype: torch.dtype, folder: Path) -> tuple[PeftModel, Mapping[str, Tensor]]:
    """Plain PEFT with a folder's adapter, and its parameters by the keys of its files."""
    config = PeftConfig.from_pretrained(folder)
    if not config.is_prompt_learning:
        plain = PeftModel.from_pretrained(case.base(dtype), folder, is_trainable=True)
        named = dict(plain.named_parameters())
        return plain, get_peft_model_state_dict(plain, state_dict=named, save_embedding_layers=False)
    config.inference_mode = False  # PEFT does not load virtual tokens for training, so it is made and filled
    plain = get_peft_model(case.base(dtype), config)
    set_peft_model_state_dict(plain, load_file(folder / "adapter_model.safetensors"))
    plain.prompt_encoder.to(torch.promote_types(dtype, torch.float32))
    return plain, {"prompt_embeddings": plain.prompt_encoder.default.embedding.weight}


def _error(actual: Tensor, expected: Tensor) -> float:
    """||difference|| / ||expected||."""
    return float((actual.double() - expected.double()).norm() / expected.double().norm())


def _both(architecture: str, dtype: torch.dtype) -> tuple[Results, Results]:
    """By the routed pass and by plain PEFT; what is not in the batch has no gradient."""
    case = CASES[architecture]
    names = list(_adapters(case))
    model, sequences = _model(case, dtype), _sequences(case, names)
    with TemporaryDirectory() as folder:
        save_suite(model, Path(folder), tokenizer=None)
        expected = _by_plain_peft(case, dtype, Path(folder), sequences)
    actual = _by_routed_pass(model, sequences, names)
    assert actual.keys() == expected.keys()
    assert all(p.grad is None for p in model.adapter_parameters(ABSENT).values())
    trained = {id(p) for name in names for p in model.adapter_parameters(name).values()}
    assert all(p.grad is None for p in model.parameters() if id(p) not in trained)
    return actual, expected


@cache
def _in_double(architecture: str) -> tuple[Results, Results]:
    return _both(architecture, torch.float64)


@pytest.mark.parametrize("dtype", EPSILON, ids=str)
@pytest.mark.parametrize("architecture", CASES)
def test_all_kinds_in_one_batch_equal_plain_peft(architecture: str, dtype: torch.dtype) -> None:
    """Logits or hidden states of every row, and every gradient."""
    actual, expected = _in_double(architecture) if dtype == torch.float64 else _both(architecture, dtype)
    errors = {key: _error(actual[key], expected[key]) for key in expected}
    assert (
        min(float(gradient.norm()) for gradient in expected.values()) > 1e-4
    )  # otherwise nothing was compared
    assert max(errors.values()) < EPSILON[dtype], {k: e for k, e in errors.items() if e >= EPSILON[dtype]}


@pytest.mark.parametrize("architecture", CASES)
def test_bf16_is_as_near_to_the_truth_as_plain_peft(architecture: str) -> None:
    """Against float64 with the same weights: in the mean over rows and gradients, and for the worst of them."""
    _, truth = _in_double(architecture)
    ours, theirs = _both(architecture, torch.bfloat16)
    assert ours.keys() == theirs.keys() == truth.keys()
    errors = torch.tensor([[_error(side[key], truth[key]) for side in (ours, theirs)] for key in truth])
    own, plain = errors.square().mean(0).sqrt().tolist()
    assert own < 1.3 * plain  # measured: 0.8 to 1.25
    worst, plain_worst = errors.max(0).values.tolist()
    assert worst < 1.5 * plain_worst  # measured: 0.8 to 1.36
