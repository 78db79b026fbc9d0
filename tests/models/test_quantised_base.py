"""Bases quantised by bitsandbytes: the routed pass equals plain PEFT on them, and stays trainable.

Both de-quantise to the same weights and multiply in fp32, so the fp32 tolerance holds here too.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from hf_mtl.adapters import quantised_layers
from hf_mtl.data import Chunk, PackedBatch, Sequence, pack
from hf_mtl.errors import ConfigError
from hf_mtl.export import load_suite, save_suite
from hf_mtl.models import RoutedModel, fingerprint, load_base, load_tokenizer

bitsandbytes = pytest.importorskip("bitsandbytes", reason="needs pip install hf-mtl[4bit]")

FOUR_BIT = {
    f"{kind}{'-double' if double else ''}": BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype="float32",
    )
    for kind in ("nf4", "fp4")
    for double in (False, True)
}
SETTINGS = {**FOUR_BIT, "8bit": BitsAndBytesConfig(load_in_8bit=True)}
NAMES = ("a", "b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "llama"
    config = LlamaConfig(
        vocab_size=97, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def _base(folder: Path, kind: str) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, quantization_config=SETTINGS[kind]
    )


def _routed(folder: Path, kind: str) -> RoutedModel:
    model = RoutedModel(_base(folder, kind))
    for i, name in enumerate(NAMES):
        model.add_adapter(
            name, LoraConfig(r=2 + i, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
        )
    return model.train()


def _batch() -> PackedBatch:
    generator = torch.Generator().manual_seed(0)
    sequences = []
    for row, (name, length) in enumerate((("a", 9), ("b", 5), ("a", 12))):
        ids = torch.randint(0, 97, (length,), generator=generator).tolist()
        sequences.append(Sequence.next_token(name, ids, ids, row=row))
    return pack([Chunk(sequence.route, [sequence]) for sequence in sequences])


def _gradients(model: RoutedModel) -> dict[str, Tensor]:
    model.zero_grad()
    model(_batch()).square().sum().backward()
    parameters = {key: p for name in NAMES for key, p in model.adapter_parameters(name).items()}
    assert all(p.grad is not None for p in parameters.values())
    return {key: p.grad.clone() for key, p in parameters.items() if p.grad is not None}


def _plain(folder: Path, kind: str, model: RoutedModel, name: str) -> PeftModel:
    plain = get_peft_model(_base(folder, kind), copy.deepcopy(model.adapter_configs[name])).train()
    parameters = dict(plain.named_parameters())
    with torch.no_grad():
        for key, parameter in model.adapter_parameters(name).items():
            parameters[key.replace(".weight", ".default.weight")].copy_(parameter)
    return plain


@pytest.mark.parametrize("kind", SETTINGS)
def test_equals_plain_peft_on_the_same_base(folder: Path, kind: str) -> None:
    model, batch = _routed(folder, kind), _batch()
    logits = model(batch)
    logits.square().sum().backward()
    parts = dict(zip(batch.rows, logits.split(batch.label_counts), strict=True))
    sequences = dict(zip(batch.rows, batch.input_ids.split(batch.lengths), strict=True))
    for name in NAMES:
        plain = _plain(folder, kind, model, name)
        for row in (row for row in batch.rows if row[0] == name):
            expected = plain(sequences[row][None]).logits[0, :-1]
            torch.testing.assert_close(parts[row], expected, rtol=1e-5, atol=1e-5)
            expected.square().sum().backward()
        wanted = dict(plain.named_parameters())
        for key, parameter in model.adapter_parameters(name).items():
            gradient = wanted[key.replace(".weight", ".default.weight")].grad
            assert parameter.grad is not None and gradient is not None
            # Rounding in fp32, which differs between processors: up to 1.4e-5 was seen.
            assert (parameter.grad - gradient).norm() <= 5e-5 * gradient.norm(), key


@pytest.mark.parametrize("kind", SETTINGS)
def test_training_after_an_evaluation_has_the_same_gradients(folder: Path, kind: str) -> None:
    model = _routed(folder, kind)
    before = _gradients(model)
    model.eval()
    with torch.no_grad():
        model(_batch())
        with model.route("a") as base:
            base(torch.tensor([[1, 2, 3]]))
        with model.route(None) as base:
            base(torch.tensor([[1, 2, 3]]))
    after = _gradients(model.train())
    assert before.keys() == after.keys() and all(gradient.any() for gradient in before.values())
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_model_that_was_evaluated_before_is_trainable(folder: Path) -> None:
    base = _base(folder, "nf4").eval()
    with torch.no_grad():
        base(torch.tensor([[1, 2, 3]]))
    model = RoutedModel(base)
    model.add_adapter("a", LoraConfig(target_modules="all-linear", init_lora_weights=False))
    model.train()
    assert all(
        layer.weight.shape[1] == 1 for layer in quantised_layers(base).values()
    )  # not packed for inference
    ids = [1, 2, 3, 4]
    model(pack([Chunk("a", [Sequence.next_token("a", ids, ids, row=0)])])).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.adapter_parameters("a").values())


def test_one_dequantisation_per_layer_and_direction(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _routed(folder, "nf4-double")
    calls: list[torch.Size] = []
    real = bitsandbytes.functional.dequantize_4bit

    def counted(*args: Any) -> Any:
        calls.append(args[0].shape)
        return real(*args)

    monkeypatch.setattr(bitsandbytes.functional, "dequantize_4bit", counted)
    logits = model(_batch())
    assert len(calls) == len(quantised_layers(model)) == 14
    calls.clear()
    logits.sum().backward()
    # The first layer's q, k and v get their input from the frozen embedding, which needs no gradient.
    assert len(calls) == 14 - 3


def test_the_dense_weight_is_not_kept(folder: Path) -> None:
    model = _routed(folder, "nf4")
    kept: list[Tensor] = []

    def keep(saved: Tensor) -> Tensor:
        kept.append(saved)
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        model(_batch())
    dense = {(layer.out_features, layer.in_features) for layer in quantised_layers(model).values()}
    assert kept and not any(tuple(t.shape) in dense for t in kept)


def test_load_base_quantises(folder: Path, tmp_path: Path) -> None:
    plain, plain_identity = load_base(folder, hub_id="someone/tiny")
    prints = {plain_identity.fingerprint}
    for wanted, kind in (("4bit", bitsandbytes.nn.Linear4bit), ("8bit", bitsandbytes.nn.Linear8bitLt)):
        base, identity = load_base(folder, hub_id="someone/tiny", quantization=wanted)
        layers = quantised_layers(base)
        assert len(layers) == 14 and all(isinstance(layer, kind) for layer in layers.values())
        assert f"bitsandbytes to {wanted[0]} bits" in str(identity.note)
        assert identity.fingerprint == fingerprint(load_base(folder, quantization=wanted)[0])
        prints.add(identity.fingerprint)
    assert len(prints) == 3
    own, _ = load_base(folder, quantization=SETTINGS["fp4"])
    assert own.get_submodule("model.layers.0.mlp.up_proj").weight.quant_type == "fp4"  # type: ignore[union-attr]  # nn.Module types attributes as Tensor | Module
    assert "model.layers.0.mlp.up_proj" not in quantised_layers(plain)


def test_the_fingerprint_sees_the_scales(folder: Path) -> None:
    base = _base(folder, "nf4")
    before = fingerprint(base)
    next(iter(quantised_layers(base).values())).weight.quant_state.absmax.mul_(1.5)
    assert fingerprint(base) != before


def test_a_saved_suite_loads_on_the_base_quantised_again(tiny_llama: Path, tmp_path: Path) -> None:
    base, identity = load_base(tiny_llama, hub_id="someone/tiny", quantization="4bit")
    model = RoutedModel(base, identity=identity)
    model.add_adapter("a", LoraConfig(target_modules="all-linear", init_lora_weights=False))
    save_suite(model, tmp_path, names=["a"], processor=load_tokenizer(tiny_llama))
    again = load_suite(tmp_path, base=tiny_llama, quantization="4bit")
    batch = pack([Chunk("a", [Sequence.next_token("a", [1, 2, 3], [1, 2, 3], row=0)])])
    torch.testing.assert_close(again(batch), model(batch), rtol=0, atol=0)


def test_what_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"quantization='3bit' is unknown; choose one of '4bit', '8bit'"):
        load_base(folder, quantization="3bit")
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ConfigError, match=r"pip install 'hf-mtl\[4bit\]'"):
        load_base(folder, quantization="4bit")
