"""A base whose weights are a pickle: refused by the names of its files, and read as tensors alone where it is allowed.

The pickle is a real one, whose reading would make a file. The file never appears.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from two_tasks import RECIPE

from hf_mtl import MultiTaskPipeline, RoutedModel, load_base
from hf_mtl.errors import ConfigError
from hf_mtl.models import load_processor
from hf_mtl.recipe import load_recipe, run_recipe

SAFE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
REFUSED = (
    r"The weights of the base .* are in {} and not in safetensors\. .* none was opened\. .*allow_pickle=True"
)


class _Trap:
    """What a pickle can do to whoever reads it."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.made),)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """The folder that the pickle makes when it is read."""
    made = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(_Trap(made)))
    assert made.is_dir()
    made.rmdir()
    return made


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    """A copy of a base, to be changed."""
    return shutil.copytree(tiny_llama, tmp_path / "base")


def _put(folder: Path, names: tuple[str, ...], trap: Path, *, keep: bool) -> None:
    if not keep:
        (folder / SAFE).unlink()
    for name in names:
        (folder / name).write_bytes(pickle.dumps(_Trap(trap), protocol=2))


@pytest.mark.parametrize(
    "names",
    [
        (PICKLE,),
        ("pytorch_model.fp16.bin",),
        ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"),
        ("consolidated.00.pth",),
        ("model.ckpt", "training_args.bin", "optimizer.pt", "rng_state_0.pth"),
    ],
    ids=lambda names: names[0],
)
def test_a_pickle_is_refused_by_its_name(folder: Path, trap: Path, names: tuple[str, ...]) -> None:
    _put(folder, names, trap, keep=False)
    shown = ", ".join(f"'{name}'" for name in names[: 2 if names[0].startswith("pytorch") else 1])
    with pytest.raises(ConfigError, match=REFUSED.format(shown)):
        load_base(folder)
    assert not trap.exists()


def _indexed(folder: Path, index: str, shard: str) -> None:
    names = load_file(folder / SAFE)
    (folder / SAFE).unlink()
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, shard)}))


def test_what_an_index_of_safetensors_names(folder: Path, trap: Path) -> None:
    _indexed(folder, INDEX, "model-00001-of-00001.bin")
    _put(folder, ("model-00001-of-00001.bin",), trap, keep=True)
    with pytest.raises(ConfigError, match=REFUSED.format("'model-00001-of-00001.bin'")):
        load_base(folder)
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "../other/model.safetensors"}}))
    with pytest.raises(
        ConfigError, match=r"names '\.\./other/model\.safetensors'; expected files that lie beside"
    ):
        load_base(folder)
    for broken in ("[]", "{", '{"weight_map": []}', '{"weight_map": ' + "[" * 100_000):
        (folder / INDEX).write_text(broken)
        with pytest.raises(
            ConfigError, match=f"(The index '{INDEX}' of the base .* cannot be read|{INDEX}: )"
        ):
            load_base(folder)
    assert not trap.exists()


def test_what_the_configuration_names(folder: Path, trap: Path) -> None:
    _put(folder, ("adapter_model.bin",), trap, keep=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "adapter_model.bin"}))
    with pytest.raises(ConfigError, match=REFUSED.format("'adapter_model.bin'")):
        load_base(folder)
    assert not trap.exists()


def test_a_pickle_under_the_name_of_safetensors(folder: Path, trap: Path) -> None:
    _put(folder, (SAFE,), trap, keep=True)
    with pytest.raises(ConfigError, match="could not be loaded: .*header"):
        load_base(folder, allow_pickle=True)
    assert not trap.exists()


@pytest.mark.parametrize("beside", [(PICKLE,), (PICKLE, "training_args.bin", "optimizer.pt")])
def test_safetensors_beside_a_pickle_are_taken(
    tiny_llama: Path, folder: Path, trap: Path, beside: tuple[str, ...]
) -> None:
    _put(folder, beside, trap, keep=True)
    for allow in (False, True):
        assert load_base(folder, allow_pickle=allow)[1].fingerprint == load_base(tiny_llama)[1].fingerprint
    assert not trap.exists()


@pytest.mark.parametrize("sharded", [False, True])
def test_an_allowed_pickle_is_read_as_tensors_alone(
    tiny_llama: Path, folder: Path, trap: Path, sharded: bool
) -> None:
    weights, name = load_file(folder / SAFE), "pytorch_model-00001-of-00001.bin" if sharded else PICKLE
    if sharded:
        _indexed(folder, PICKLE_INDEX, name)
    (folder / SAFE).unlink(missing_ok=True)
    torch.save(weights, folder / name)
    with pytest.raises(ConfigError, match="not in safetensors"):
        load_base(folder)
    model, identity = load_base(folder, allow_pickle=True)
    assert identity.fingerprint == load_base(tiny_llama)[1].fingerprint
    assert model.name_or_path == str(folder)
    for content in (
        pickle.dumps(_Trap(trap), protocol=2),
        _torch_file({**weights, "trap": _Trap(trap)}, folder.parent / "x"),
        b"cut off",
        b"",
    ):
        (folder / name).write_bytes(content)
        with pytest.raises(ConfigError, match="could not be loaded: "):
            load_base(folder, allow_pickle=True)
    assert not trap.exists()


def _torch_file(content: object, path: Path) -> bytes:
    torch.save(content, path)
    return path.read_bytes()


def test_every_way_to_a_base_asks(folder: Path, trap: Path, two_tasks: Path) -> None:
    _put(folder, (PICKLE,), trap, keep=False)
    with pytest.raises(ConfigError, match="not in safetensors"):
        RoutedModel.from_pretrained(folder, {})
    recipe = two_tasks / "recipe.yaml"
    recipe.write_text(RECIPE.format(model="./base"))
    with pytest.raises(ConfigError, match="recipe.yaml:2 model.source: The weights .*not in safetensors"):
        load_recipe(recipe)
    loaded = load_recipe(recipe, ["model.allow_pickle=true"])
    assert loaded.model.allow_pickle
    with pytest.raises(ConfigError, match="could not be loaded: "):  # reached, and read as tensors alone
        run_recipe(loaded, console=Console(quiet=True))
    assert not trap.exists()


def test_a_base_that_is_an_adapter_too(folder: Path) -> None:
    (folder / "adapter_config.json").write_text(
        '{"base_model_name_or_path": "somebody/else", "peft_type": "LORA"}'
    )
    with pytest.raises(ConfigError, match=r"holds an 'adapter_config.json': .*Give the base by itself"):
        load_base(folder)


def test_code_beside_a_base_is_not_run_and_nobody_is_asked(folder: Path, trap: Path) -> None:
    """transformers itself would ask at the terminal for 15 seconds whether to run it."""
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(trap)!r})\n")
    for name, change in {
        "config.json": {
            "model_type": "own",
            "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"},
        },
        "tokenizer_config.json": {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}},
    }.items():
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | change))
    for load in (load_base, load_processor):
        with pytest.raises(ConfigError, match="No code of a model is run here"):
            load(folder)
    assert not trap.exists()


def test_a_pipeline_asks(folder: Path, trap: Path, tmp_path: Path, tiny_llama: Path) -> None:
    from peft import LoraConfig

    from hf_mtl.export import save_suite

    base, identity = load_base(tiny_llama)
    model = RoutedModel(base, identity=identity)
    model.add_adapter("one", LoraConfig(target_modules="all-linear"))
    save_suite(model, tmp_path / "suite", processor=load_processor(tiny_llama))
    weights = load_file(folder / SAFE)
    _put(folder, (PICKLE,), trap, keep=False)
    with pytest.raises(ConfigError, match="not in safetensors"):
        MultiTaskPipeline.from_pretrained(tmp_path / "suite", base=folder)
    torch.save(weights, folder / PICKLE)
    pipe = MultiTaskPipeline.from_pretrained(tmp_path / "suite", base=folder, allow_pickle=True)
    assert pipe.model.adapter_names == ("one",)
