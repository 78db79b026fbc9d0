"""What `hf-mtl validate` of the quickstart loads: none of the packages that training needs and checking does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_mtl.data.assets import BASE_FILE, resolve_asset
from hf_mtl.versions import installed

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "quickstart" / "recipe.yaml"
HEAVY = ("torch", "peft", "datasets", "pandas", "pyarrow", "scipy", "sklearn", "accelerate", "matplotlib")
BY_ITSELF = "" if installed("transformers") >= (5, 18) else "torch"
"""What transformers loads for a fast tokenizer."""
VALIDATE = """
import sys
from hf_mtl.cli import app
assert not app(["validate", *sys.argv[1:]], standalone_mode=False)
"""
LOADED = f"print(*sorted(name for name in {HEAVY!r} if name in sys.modules))"
# Whoever imports transformers first must not leave it believing that torch is missing.
TORCH = """
from transformers import AutoModelForCausalLM, is_torch_available
from transformers.modeling_rope_utils import torch
assert is_torch_available() and AutoModelForCausalLM.from_config
"""


def validate(*recipes: Path, cache: Path, more: str = LOADED) -> list[str]:
    """Validate recipes in a process of their own; return the lines that it prints."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ACCELERATE_")},
        "PYTHONPATH": str(ROOT), "HF_MTL_CACHE": str(cache),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", VALIDATE + more, *map(str, recipes)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def cache(tiny_llama: Path, tmp_path: Path) -> Path:
    """A cache that holds the tiny model in the place of the quickstart's."""
    folder = tmp_path / "cache" / "assets" / "smollm2-135m-instruct"
    folder.mkdir(parents=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_bytes((tiny_llama / file).read_bytes())
    config = json.loads((tiny_llama / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(
        json.dumps(config | {"max_position_embeddings": 8192}), encoding="utf-8"
    )
    (folder / BASE_FILE).write_text(json.dumps({"format_version": 1}), encoding="utf-8")
    return tmp_path / "cache"


@pytest.mark.skipif(sys.platform == "win32", reason="how many GPUs there are is asked of torch")
def test_the_quickstart_needs_none_of_them(cache: Path) -> None:
    found, loaded = validate(RECIPE, cache=cache)
    assert found.endswith(
        "valid, tasks sentiment, supersense, past tense, part of speech, 400 rows tokenised"
    )
    assert loaded == BY_ITSELF


@pytest.mark.slow  # it imports torch in a process of its own
def test_transformers_still_finds_torch(cache: Path) -> None:
    assert len(validate(RECIPE, cache=cache, more=TORCH)) == 1


@pytest.mark.slow
def test_the_real_base_needs_none_of_them_either() -> None:
    folder = resolve_asset("smollm2-135m-instruct").parents[1]
    chats = ROOT / "recipes" / "generative" / "recipe.yaml"
    assert validate(RECIPE, chats, cache=folder)[-1] == BY_ITSELF
