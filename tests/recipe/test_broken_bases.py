"""A base whose files are broken: what is wrong is said of the file, before training and in Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hf_mtl.errors import ConfigError
from hf_mtl.models import load_base, load_tokenizer
from hf_mtl.recipe import load_recipe

RECIPE = """\
model: {id: someone/tiny-llama, source: model}
output_dir: run
tasks: {words: {train: words.jsonl, template: {prompt: "{text} is", completion: " {label}"}}}
"""


@pytest.fixture
def base(two_tasks: Path, tiny_llama: Path) -> Path:
    shutil.copytree(tiny_llama, two_tasks / "model")
    (two_tasks / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return two_tasks / "model"


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize(
    "content", [b"[]", b"\xff", b"[" * 100_000, b""], ids=["list", "bytes", "deep", "empty"]
)
def test_settings(base: Path, name: str, content: bytes) -> None:
    (base / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_recipe(base.parent / "recipe.yaml")
    [problem] = caught.value.problems
    assert problem.startswith("recipe.yaml:1 model.source: ") and f"/model': {name}" in problem


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"{}", b"[" * 100_000], ids=["list", "null", "object", "deep"]
)
def test_tokenizers(base: Path, content: bytes) -> None:
    (base / "tokenizer.json").write_bytes(content)
    with pytest.raises(ConfigError, match="No tokenizer could be loaded from"):
        load_tokenizer(base)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("num_attention_heads", 0, "config.json: num_attention_heads is 0; expected a whole number from 1"),
        ("pad_token_id", 10**9, "AssertionError: Padding_idx must be within num_embeddings"),
        ("hidden_act", "x", "KeyError"),
        ("hidden_size", 64, "its weights have other shapes than its config.json says"),
    ],
)
def test_weights_of_another_config(base: Path, key: str, value: object, says: str) -> None:
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(json.dumps(config | {key: value}), encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        load_base(base)


def test_weights_that_are_cut(base: Path) -> None:
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-99])
    with pytest.raises(ConfigError, match="could not be loaded: .*not fully covered"):
        load_base(base)
