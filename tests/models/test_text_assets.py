"""The assets that are read without torch: what transformers' own auto classes say of the same folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from hf_mtl.data.assets import ASSETS, BASE_FILE
from hf_mtl.models import ConfiguredBase
from hf_mtl.models.base import facts_of, load_config
from hf_mtl.models.text_assets import load_text_asset

TEXTS = ("Verb: walk\nPast tense:", " walked", "Ein Käse, 3 × 漢字 😀 <|im_end|> [MASK]", "")
READ = {"minilm", "smollm2-135m-instruct"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, asset in ASSETS.items() if asset.kind == "model"])
def test_it_is_what_the_auto_classes_give(name: str) -> None:
    source = f"asset:{name}"
    found = load_text_asset(source)
    assert (found is not None) is (name in READ)
    if found is None:
        return
    facts, tokenizer = found
    assert facts == facts_of(load_config(source))
    usual = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    assert type(tokenizer) is type(usual)
    assert tokenizer.get_vocab() == usual.get_vocab()
    assert tokenizer.special_tokens_map == usual.special_tokens_map
    assert tokenizer.chat_template == usual.chat_template
    for text in TEXTS:
        assert tokenizer(text).data == usual(text).data
        assert tokenizer(text, add_special_tokens=False).data == usual(text, add_special_tokens=False).data


def test_other_bases_are_left_to_transformers(tiny_llama: Path) -> None:
    assert load_text_asset(str(tiny_llama)) is None
    assert load_text_asset("HuggingFaceTB/SmolLM2-135M-Instruct") is None
    assert load_text_asset("asset:reuters-r8") is None


def test_a_damaged_asset_is_left_to_transformers(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "assets" / "minilm"
    folder.mkdir(parents=True)
    (folder / BASE_FILE).write_text(json.dumps({"format_version": 1}), encoding="utf-8")
    (folder / "config.json").write_bytes((tiny_llama / "config.json").read_bytes())
    monkeypatch.setenv("HF_MTL_CACHE", str(tmp_path))
    assert load_text_asset("asset:minilm") is None
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_bytes((tiny_llama / file).read_bytes())
    assert ConfiguredBase.load("asset:minilm").facts == facts_of(load_config(tiny_llama))
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    assert load_text_asset("asset:minilm") is None
