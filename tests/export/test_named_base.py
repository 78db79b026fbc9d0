"""What an adapter calls its base: where no Hub id is known, the very text that PEFT itself would write."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peft import AutoPeftModelForCausalLM, LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, RoutedModel
from hf_mtl.export import load_suite, save_suite
from hf_mtl.models import load_base

ROWS = {"verbs": [{"prompt": "run ->", "completion": " ran"}]}


def _by_peft(text: str, folder: Path) -> str | None:
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(text), LoraConfig(target_modules=["q_proj"]))
    model.save_pretrained(str(folder))
    return _named(folder)


def _named(folder: Path) -> str | None:
    content = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    name: str | None = content["base_model_name_or_path"]
    return name


def _routed(text: str) -> RoutedModel:
    base, identity = load_base(text)
    return RoutedModel(base, identity=identity)


MODELS: dict[str, Callable[[str], Any]] = {
    "a text": lambda text: text,
    "a path": Path,
    "a model of transformers": AutoModelForCausalLM.from_pretrained,
    "a RoutedModel": _routed,
}


@pytest.mark.parametrize("text", ["./base", "base", "ABSOLUTE"])
@pytest.mark.parametrize("model", MODELS)
def test_a_folder_is_named_as_peft_names_it(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    model: str, text: str,
) -> None:  # fmt: skip
    shutil.copytree(tiny_llama, tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    text = text.replace("ABSOLUTE", str(tmp_path / "base"))
    args = MultiTaskTrainingArguments("runs", report_to="none", disable_tqdm=True, use_cpu=True)
    trainer = MultiTaskTrainer(
        MODELS[model](text), args, train_dataset=ROWS,
        processing_class=AutoTokenizer.from_pretrained(text),
    )  # fmt: skip
    trainer.save_model()
    assert "no Hub id" not in caplog.text
    as_given = str(Path(text)) if model == "a path" else text
    assert _named(Path("runs/verbs")) == as_given == _by_peft(as_given, tmp_path / "peft")
    AutoPeftModelForCausalLM.from_pretrained("runs/verbs")
    assert load_suite("runs").adapter_names == ("verbs",)
    trainer.create_model_card()
    assert "your-name" not in Path("runs/README.md").read_text(encoding="utf-8")


def test_a_hub_id_goes_before_the_folder(tiny_llama: Path, tmp_path: Path) -> None:
    base, identity = load_base(tiny_llama, hub_id="someone/tiny")
    model = RoutedModel(base, identity=identity)
    model.add_adapter("a", LoraConfig(r=2, target_modules=["q_proj"]), seed=0)
    save_suite(model, tmp_path, processor=None)
    assert _named(tmp_path / "a") == "someone/tiny"


def test_a_base_from_nowhere_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    model = RoutedModel(LlamaForCausalLM(config))
    model.add_adapter("a", LoraConfig(r=2, target_modules=["q_proj"]), seed=0)
    with caplog.at_level(logging.WARNING):
        save_suite(model, tmp_path, processor=None)
    assert _named(tmp_path / "a") is None and "came from no folder" in caplog.text
