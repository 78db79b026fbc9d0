"""Adapters of different kinds in one packed batch, against plain PEFT sequence by sequence."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    IA3Config,
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors.torch import load_file
from tiny_decoders import DECODERS, SHAPE
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedModel,
)

from hf_mtl.data import Chunk, PackedBatch, Sequence, pack
from hf_mtl.export import load_suite, save_suite
from hf_mtl.models import RoutedModel, load_base


def _lora(**options: Any) -> LoraConfig:
    return LoraConfig(**{"r": 4, "lora_alpha": 8, "init_lora_weights": False} | options)


ADAPTERS: dict[str, PeftConfig] = {
    "lora": _lora(target_modules="all-linear"),
    "patterns": _lora(
        r=16, target_modules=r".*\.(q_proj|up_proj|down_proj)", exclude_modules=r".*\.1\.mlp\.down_proj",
        use_rslora=True, rank_pattern={"q_proj": 3}, alpha_pattern={"up_proj": 5},
    ),
    "one-layer": _lora(target_modules=["v_proj", "o_proj"], layers_to_transform=[1]),
    "dora": _lora(use_dora=True, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"]),
    "ia3": IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "own-head": _lora(target_modules=["k_proj"], modules_to_save=["lm_head", "q_proj"]),
    "adapted-head": _lora(target_modules=["lm_head", "gate_proj"]),
    "dora-head": _lora(use_dora=True, target_modules=["lm_head"]),
    "ia3-own-head": IA3Config(
        target_modules=["q_proj"], feedforward_modules=["q_proj"], modules_to_save=["lm_head"]
    ),
}  # fmt: skip
ABSENT = "absent"
EPSILON = {torch.float64: 1e-10, torch.float32: 1e-5}
BF16 = 2**-8  # the relative error of one rounding to bf16 is at most half of it


def _base(kind: str = "llama", dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    torch.manual_seed(0)
    config = copy.deepcopy(DECODERS[kind])
    base: PreTrainedModel = AutoModelForCausalLM.from_config(config).to(torch.bfloat16).to(dtype)
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.1 * torch.randn(parameter.shape).bfloat16())
    return base


def _shaken(parameters: Mapping[str, torch.nn.Parameter], seed: int = 0) -> None:
    """Move every weight away from where the base's output is what it was; the same in every dtype."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key in sorted(parameters):
            noise = torch.randn(parameters[key].shape, generator=generator)
            parameters[key].copy_((parameters[key].float() + 0.1 * noise).bfloat16())


def _model(base: PreTrainedModel, adapters: Mapping[str, PeftConfig] = ADAPTERS) -> RoutedModel:
    model = RoutedModel(base)
    for i, (name, config) in enumerate(adapters.items()):
        model.add_adapter(name, config)
        _shaken(model.adapter_parameters(name), seed=i)
    return model


def _sequence(route: str, length: int, seed: int, labels: int) -> Sequence:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 97, (length,), generator=generator).tolist()
    learned = [token if i >= length - labels else -100 for i, token in enumerate(ids)]
    return Sequence.next_token(route, ids, learned, row=seed, dropout_key=1000 + seed)


def _packed(sequences: list[Sequence]) -> PackedBatch:
    return pack([Chunk(sequence.route, [sequence]) for sequence in sequences])


ROUTES = [*ADAPTERS, "bare", "ia3", "dora", "own-head", "lora", "bare"]
MIXED = [_sequence(route, 5 + 3 * i % 8, i, labels=2 + i % 3) for i, route in enumerate(ROUTES)]


def _plain(base: PreTrainedModel, model: RoutedModel, name: str) -> tuple[PeftModel, dict[str, Tensor]]:
    """Plain PEFT with an adapter's weights, and its parameters by the keys of its files."""
    plain = get_peft_model(base, copy.deepcopy(model.adapter_configs[name]))
    weights = {key: p.detach().clone() for key, p in model.adapter_parameters(name).items()}
    set_peft_model_state_dict(plain, weights)
    return plain, _by_file_key(plain)


def _by_file_key(plain: PeftModel) -> dict[str, Tensor]:
    parameters = dict(plain.named_parameters())
    own: dict[str, Tensor] = get_peft_model_state_dict(
        plain, state_dict=parameters, save_embedding_layers=False
    )
    return own


def _direction(sequence: Sequence, logits: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(sequence.row)
    return torch.randn(logits.shape, generator=generator).to(logits.dtype)


Results = dict[str, Tensor]


def _by_plain_peft(kind: str, dtype: torch.dtype, model: RoutedModel) -> Results:
    """Logits by row and gradients by file key, each adapter and each sequence by itself."""
    results: Results = {}
    for name in [*ADAPTERS, "bare"]:
        base = _base(kind, dtype)
        plain, parameters = (base, {}) if name == "bare" else _plain(base, model, name)
        for sequence in (s for s in MIXED if s.route == name):
            logits = plain(torch.tensor([sequence.input_ids])).logits[0, sequence.label_positions]
            results[f"row {sequence.row}"] = logits.detach()
            if name != "bare":
                (logits * _direction(sequence, logits)).sum().backward()
        assert name == "bare" or all(p.grad is not None for p in parameters.values())
        results |= {f"{name} {key}": p.grad for key, p in parameters.items() if p.grad is not None}
    return results


def _by_routed_pass(model: RoutedModel) -> Results:
    batch = _packed(MIXED)
    logits = model(batch)
    parts = dict(zip(batch.rows, logits.split(batch.label_counts), strict=True))
    sum((parts[s.route, s.row] * _direction(s, parts[s.route, s.row])).sum() for s in MIXED).backward()
    results = {f"row {row}": part.detach() for (_, row), part in parts.items()}
    for name in ADAPTERS:
        grads = {key: p.grad for key, p in model.adapter_parameters(name).items()}
        results |= {f"{name} {key}": grad for key, grad in grads.items() if grad is not None}
    return results


def _error(actual: Tensor, expected: Tensor) -> float:
    """||difference|| / ||expected||."""
    actual, expected = actual.detach().double(), expected.detach().double()
    return float((actual - expected).norm() / expected.norm())


@pytest.fixture(params=DECODERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _mixed_model(kind: str, dtype: torch.dtype) -> RoutedModel:
    model = _model(_base(kind, dtype), ADAPTERS | {ABSENT: _lora(use_dora=True, target_modules="all-linear")})
    model.add_route("bare", {})
    return model


@pytest.mark.parametrize("dtype", EPSILON, ids=str)
def test_a_batch_of_many_kinds_equals_plain_peft_one_by_one(kind: str, dtype: torch.dtype) -> None:
    model = _mixed_model(kind, dtype)
    actual, expected = _by_routed_pass(model), _by_plain_peft(kind, dtype, model)
    assert actual.keys() == expected.keys()
    errors = {key: _error(actual[key], expected[key]) for key in expected}
    assert max(errors.values()) < EPSILON[dtype], {k: e for k, e in errors.items() if e >= EPSILON[dtype]}
    assert all(p.grad is None for p in model.adapter_parameters(ABSENT).values())
    assert all(p.grad is None for name, p in model.named_parameters() if "adapters" not in name)


def test_bf16_is_as_near_to_the_truth_as_plain_peft(kind: str) -> None:
    """Measured against float64 with the same weights."""
    half = _mixed_model(kind, torch.bfloat16)
    truth = _by_plain_peft(kind, torch.float64, _mixed_model(kind, torch.float64))
    ours, theirs = _by_routed_pass(half), _by_plain_peft(kind, torch.bfloat16, half)
    assert ours.keys() == theirs.keys() == truth.keys()
    errors = {key: (_error(ours[key], truth[key]), _error(theirs[key], truth[key])) for key in truth}
    assert max(own for own, _ in errors.values()) < 24 * BF16  # one gradient; plain PEFT's worst: 19.2
    assert (
        max(own for key, (own, _) in errors.items() if key.startswith("row ")) < 10 * BF16
    )  # plain PEFT's: 7.8
    own, plain = torch.tensor(list(errors.values())).square().mean(0).sqrt().tolist()
    assert own < 1.3 * plain  # measured over the four architectures: 0.8 to 1.2


def test_autocast_stays_within_bf16_rounding() -> None:
    model = _mixed_model("llama", torch.float32)
    truth = _by_plain_peft("llama", torch.float64, _mixed_model("llama", torch.float64))
    with torch.autocast("cpu", torch.bfloat16):
        ours = _by_routed_pass(model)
    assert max(_error(ours[key], truth[key]) for key in truth) < 20 * BF16
    assert max(_error(ours[key], truth[key]) for key in truth if key.startswith("row ")) < 8 * BF16


def test_dropout_masks_belong_to_the_row_in_every_kind() -> None:
    adapters = {
        "lora": _lora(target_modules="all-linear", lora_dropout=0.5),
        "dora": _lora(use_dora=True, target_modules="all-linear", lora_dropout=0.5),
        "head": _lora(use_dora=True, target_modules=["lm_head"], lora_dropout=0.5),
        "saved": _lora(target_modules=["lm_head"], modules_to_save=["q_proj"], lora_dropout=0.5),
    }
    model = _model(_base(), adapters).train()
    rows = [_sequence(name, 4 + i, i, labels=2) for i, name in enumerate([*adapters, *adapters])]
    batch = _packed(rows)
    parts = dict(zip(batch.rows, model(batch).split(batch.label_counts), strict=True))
    for row in rows:
        together = parts[row.route, row.row]
        torch.testing.assert_close(model(_packed([row])), together, rtol=1e-12, atol=1e-12)
        other_key = dataclasses.replace(row, dropout_key=7)
        assert _error(model(_packed([other_key])), together) > 1e-3
    model.eval()
    assert all(_error(model(_packed([row])), parts[row.route, row.row]) > 1e-3 for row in rows)


@pytest.mark.parametrize("options", [{"modules_to_save": ["lm_head"]}, {"target_modules": ["lm_head"]}])
def test_a_tied_head_is_adapted_apart_from_the_embedding(options: dict[str, list[str]]) -> None:
    def tied() -> PreTrainedModel:
        torch.manual_seed(0)
        base: PreTrainedModel = AutoModelForCausalLM.from_config(
            LlamaConfig(**SHAPE, tie_word_embeddings=True)
        )
        return base.double()

    base, sequence = tied(), _sequence("own", 6, 0, labels=2)
    with pytest.warns(UserWarning, match="tied layer is part of the adapter"):
        model = _model(base, {"own": _lora(**{"target_modules": ["q_proj"]} | options)})
    embedding = base.get_input_embeddings().weight
    assert base.get_output_embeddings().weight is embedding and embedding.equal(
        tied().get_input_embeddings().weight
    )
    with pytest.warns(UserWarning, match="tied layer is part of the adapter"):
        plain, _ = _plain(tied(), model, "own")
    expected = plain(torch.tensor([sequence.input_ids])).logits[0, sequence.label_positions]
    assert _error(model(_packed([sequence])), expected) < EPSILON[torch.float64]


def test_checkpointing_changes_nothing_in_any_kind() -> None:
    plain = _by_routed_pass(_mixed_model("llama", torch.float64))
    model = _mixed_model("llama", torch.float64).train()
    model.activation_checkpointing_enable()
    torch.testing.assert_close(_by_routed_pass(model), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_folders_are_plain_pefts_own(kind: str, dtype: str, tmp_path: Path) -> None:
    _base(kind, torch.float32).save_pretrained(tmp_path / "base")
    base, identity = load_base(tmp_path / "base", dtype=dtype, hub_id="someone/tiny")
    model = RoutedModel(base, identity=identity)
    for name, config in ADAPTERS.items():
        model.add_adapter(name, config)
        _shaken(model.adapter_parameters(name))
    save_suite(model, tmp_path / "suite", processor=None)
    again = load_suite(tmp_path / "suite", dtype=dtype)
    save_suite(again, tmp_path / "again", processor=None)
    model.eval()
    for sequence in MIXED[: len(ADAPTERS)]:
        name, batch = sequence.route, _packed([sequence])
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            first, second = (tmp_path / suite / name / file for suite in ("suite", "again"))
            assert first.read_bytes() == second.read_bytes()
        fresh, _ = load_base(tmp_path / "base", dtype=dtype)
        plain = PeftModel.from_pretrained(fresh, tmp_path / "suite" / name)
        weights = load_file(tmp_path / "suite" / name / "adapter_model.safetensors")
        assert weights.keys() == _by_file_key(plain).keys()
        assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
        with torch.no_grad():
            routed = model(batch)
            assert torch.equal(again.eval()(batch), routed)
            expected = plain(torch.tensor([sequence.input_ids])).logits[0, sequence.label_positions]
        assert _error(routed, expected) < (1e-5 if dtype == "float32" else 8 * BF16)
