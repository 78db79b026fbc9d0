"""Suites on disk: round trips, and folders that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_mtl import RoutedModel, load_base
from hf_mtl.errors import CheckpointError
from hf_mtl.export import folder_names, load_suite, save_suite

NAMES = ("mlp", "q&a", "weight", "a/b", "..", "ärger", "Q&A")


@pytest.fixture
def saved(tiny_llama: Path, tmp_path: Path) -> Path:
    base, identity = load_base(tiny_llama, hub_id="someone/tiny")
    model = RoutedModel(base, identity=identity)
    for i, name in enumerate(NAMES):
        config = LoraConfig(
            r=2 + i, lora_alpha=3, use_rslora=i % 2 == 0, rank_pattern={"q_proj": 5}, init_lora_weights=False,
            target_modules="all-linear" if i % 2 else ["q_proj", "down_proj"],
        )  # fmt: skip
        model.add_adapter(name, config)
    save_suite(model, tmp_path / "suite", processor=AutoTokenizer.from_pretrained(tiny_llama))
    return tmp_path / "suite"


def test_each_folder_is_an_ordinary_peft_adapter(saved: Path, tiny_llama: Path) -> None:
    folders = folder_names(NAMES)
    assert len(set(folders.values())) == len(NAMES)
    tokens = torch.tensor([[5, 6, 7, 8]])
    suite = load_suite(saved)
    assert suite.adapter_names == NAMES
    for name, folder in folders.items():
        config = json.loads((saved / folder / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == "someone/tiny" and config["inference_mode"] is True
        plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_llama), saved / folder)
        with torch.no_grad(), suite.route(name) as base:
            routed = base(tokens).logits
        assert (routed - plain(tokens).logits).abs().max() < 1e-5
    assert AutoTokenizer.from_pretrained(saved / "mlp").eos_token == "<|end|>"


def test_save_load_save_changes_nothing(saved: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(saved / "mlp")
    save_suite(load_suite(saved), tmp_path / "again", processor=tokenizer)
    files = sorted(p.relative_to(saved) for p in saved.rglob("*") if p.is_file())
    assert files == sorted(
        p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file()
    )
    for file in files:
        assert (saved / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_a_base_with_other_weights_is_refused(saved: Path, tiny_llama: Path, tmp_path: Path) -> None:
    other = AutoModelForCausalLM.from_pretrained(tiny_llama)
    with torch.no_grad():
        other.model.norm.weight.add_(0.5)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(CheckpointError, match="trained on a base with the fingerprint sampled-sha256:"):
        load_suite(saved, base=tmp_path / "other")


def test_the_fingerprint_does_not_depend_on_the_dtype_it_is_loaded_in(
    tiny_llama: Path, tmp_path: Path
) -> None:
    AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    prints = {load_base(tmp_path / "half", dtype=dtype)[1].fingerprint for dtype in ("bfloat16", "float32")}
    assert len(prints) == 1


def _edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_broken_suites_are_refused(saved: Path) -> None:
    manifest, weights = saved / "hf_mtl.json", saved / "mlp" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(CheckpointError, match="mlp: the adapter cannot be read"):
        load_suite(saved)
    weights.unlink()
    with pytest.raises(
        CheckpointError, match="needs 'adapter_config.json' and 'adapter_model.safetensors'; found"
    ):
        load_suite(saved)
    weights.write_bytes((saved / "weight" / "adapter_model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"the ranks \[4, 5\], and its config declares \[2, 5\]"):
        load_suite(saved)
    weights.write_bytes((saved / "q-a" / "adapter_model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"the ranks \[3, 5\], and its config declares \[2, 5\]"):
        load_suite(saved)
    _edit(manifest, tasks={"mlp": "../outside"})
    with pytest.raises(CheckpointError, match="names folders outside its own"):
        load_suite(saved)
    _edit(manifest, format_version=99)
    with pytest.raises(CheckpointError, match="a format_version from 1 to 3, found 99. A newer hf_mtl"):
        load_suite(saved)
    manifest.write_text("{")
    with pytest.raises(CheckpointError, match="should hold a manifest of hf_mtl as JSON, but cannot be read"):
        load_suite(saved)
    manifest.unlink()
    with pytest.raises(CheckpointError, match=r"holds no hf_mtl\.json"):
        load_suite(saved)


def test_auto_class_loads_a_folder_by_its_base(saved: Path, tiny_llama: Path) -> None:
    _edit(saved / "mlp" / "adapter_config.json", base_model_name_or_path=str(tiny_llama))
    adapted = AutoPeftModelForCausalLM.from_pretrained(saved / "mlp")
    assert adapted.peft_config["default"].r == 2
    tokens = torch.tensor([[5, 6, 7, 8]])
    by_transformers = AutoModelForCausalLM.from_pretrained(saved / "mlp")
    assert (adapted(tokens).logits - by_transformers(tokens).logits).abs().max() < 1e-5
    bare = AutoModelForCausalLM.from_pretrained(tiny_llama)
    assert (adapted(tokens).logits - bare(tokens).logits).abs().max() > 1e-3
