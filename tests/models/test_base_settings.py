"""The settings beside a base's weights: values of real models pass, and others are named with their file."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from hf_mtl.models import load_base
from hf_mtl.models.base_settings import image_problems, settings_problems, value_problems

# As published models have them.
REAL = [
    ("config.json", {"num_hidden_layers": {"vision": 5, "language": 9}, "max_position_embeddings": 1200.0}),
    ("config.json", {"num_hidden_layers": 126, "head_dim": None, "max_position_embeddings": 10_485_760}),
    ("config.json", {"intermediate_size": [8192] * 30, "text_config": {"num_hidden_layers": 0, "hidden_size": 5}}),
    ("config.json", {"time_step_limit": [0.0, math.inf], "torch_dtype": "bfloat16", "dtype": None}),
    ("config.json", {"dtype": {"text_config": "float16", "": "float32"}, "torch_dtype": "float8_e4m3fn"}),
    ("config.json", {"rope_scaling": {"factor": 8.0, "rope_type": "llama3"}, "rope_theta": 500_000.0}),
    ("config.json", {"quantization_config": {"quant_method": "modelopt", "dtype": "nvfp4"}, "rope_scaling": None}),
    ("config.json", {"label2id": {"hidden_size": 0, "vocab_size": -1}, "id2label": {"0": "vocab_size"}}),
    ("tokenizer_config.json", {"model_max_length": 1000000000000000019884624838656, "pad_token": None}),
    ("tokenizer_config.json", {"model_max_length": 1e30, "add_bos_token": True, "unk_token": {"content": "<unk>"}}),
    ("tokenizer_config.json", {"added_tokens_decoder": {"0": {"content": "", "special": True}}, "chat_template": ""}),
    ("tokenizer_config.json", {"chat_template": [{"name": "default", "template": "{{ messages }}"}]}),
    ("generation_config.json", {"eos_token_id": [128001, 128008]}),
    ("added_tokens.json", {"<think>": 151667}),
]  # fmt: skip
WRONG = [
    ("config.json", {"hidden_size": True}, "hidden_size is True; expected a whole number from 1 to 1,000,000"),
    ("config.json", {"text_config": {"vocab_size": -1}}, "text_config.vocab_size is -1"),
    ("config.json", {"num_attention_heads": [8, 0]}, "num_attention_heads is [8, 0]"),
    ("config.json", {"vocab_size": 32000.0}, "vocab_size is 32000.0"),
    ("config.json", {"norm_eps": math.nan}, "norm_eps is NaN; expected another value"),
    ("config.json", {"torch_dtype": "os"}, "torch_dtype is 'os'; expected the name of a dtype"),
    ("tokenizer_config.json", {"model_max_length": 12.5}, "model_max_length is 12.5; expected a whole number from 1"),
    ("tokenizer_config.json", {"model_max_length": math.inf}, "model_max_length is inf"),
    ("tokenizer_config.json", {"added_tokens_decoder": {"9" * 30: {"content": "x"}}}, "added_tokens_decoder is {"),
    ("special_tokens_map.json", {"eos_token": {"content": 5}}, "eos_token is {'content': 5}; expected a text, or"),
    ("added_tokens.json", {"<x>": 10**12}, "<x> is 1,000,000,000,000; expected a whole number from 0 to"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "content"), REAL)
def test_values_of_published_models(file: str, content: dict[str, object]) -> None:
    assert [*value_problems(file, content)] == []


@pytest.mark.parametrize(("file", "content", "said"), WRONG)
def test_values_that_no_model_has(file: str, content: dict[str, object], said: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text(json.dumps(content))
    (found,) = settings_problems(tmp_path)
    assert found.startswith(f"{file}: {said}")


def test_settings_of_images() -> None:
    sizes = {"height": 224, "width": 224, "shortest_edge": None}
    assert [
        *image_problems({"size": sizes, "crop_size": None, "image_mean": [0.5], "image_std": (0.5,)})
    ] == []
    wrong = {
        "size": {"shortest_edge": 0},
        "image_mean": "grey",
        "image_std": [0.5, 0.0],
        "rescale_factor": math.inf,
    }
    found = [text.partition(" is ")[0] for text in image_problems(wrong)]
    assert found == ["size.shortest_edge", "image_mean", "image_std", "rescale_factor"]


def test_the_origin_of_an_asset(tiny_llama: Path, tmp_path: Path) -> None:
    """Of the file as a fetched asset has it, whose version is a number."""
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    origin = {
        "format_version": 1,
        "hub_id": "ada/tiny",
        "origin": "PyPI",
        "note": "a lossy copy",
        "licence": "mit",
    }
    (folder / "hf_mtl_base.json").write_text(json.dumps(origin))
    _, identity = load_base(folder)
    assert (identity.hub_id, identity.note) == ("ada/tiny", "a lossy copy")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of models that are deprecated
def test_the_defaults_of_every_model() -> None:
    refused, tried = {}, 0
    for name in CONFIG_MAPPING:
        try:
            content = json.loads(CONFIG_MAPPING[name]().to_json_string(use_diff=False))
        except Exception:  # noqa: BLE001  # of one that needs an argument or a package
            continue
        tried += 1
        if problems := [*value_problems("config.json", content)]:
            refused[name] = problems
    assert not refused and tried > 300
