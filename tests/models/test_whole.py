"""Bases whose weights are not all here are refused at construction, with where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from accelerate import cpu_offload, disk_offload
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, distribute_tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from hf_mtl.errors import ConfigError
from hf_mtl.models import RoutedModel
from hf_mtl.models.whole import _several_devices


@pytest.fixture
def folder(bases: Callable[[str], Path]) -> Path:
    return bases("llama")


def _loaded(folder: Path, **options: object) -> PreTrainedModel:
    base: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, **options)
    return base


def _meta(folder: Path, tmp_path: Path) -> PreTrainedModel:
    with torch.device("meta"):
        base: PreTrainedModel = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    return base


AWAY: dict[str, Callable[[Path, Path], PreTrainedModel]] = {
    "disk": lambda folder, there: disk_offload(_loaded(folder), str(there), execution_device=torch.device("cpu")),
    "memory": lambda folder, there: cpu_offload(_loaded(folder), execution_device=torch.device("cpu")),
    "device_map": lambda folder, there: _loaded(
        folder,
        device_map={"model.embed_tokens": "cpu", "model.layers": "disk", "model.norm": "cpu",
                    "model.rotary_emb": "cpu", "lm_head": "cpu"},
        offload_folder=str(there),
    ),
    "meta": _meta,
}  # fmt: skip


@pytest.mark.parametrize("way", AWAY)
def test_weights_that_are_elsewhere(folder: Path, tmp_path: Path, way: str) -> None:
    told = r"LlamaForCausalLM, has \d+ of 23 tensors on the meta device, such as model\.\S+weight: they .*device_map"
    with pytest.raises(ConfigError, match=told):
        RoutedModel(AWAY[way](folder, tmp_path))


def test_several_devices(folder: Path) -> None:
    """The meta device stands in for a second one, which this machine may not have."""
    base = _loaded(folder)
    assert _several_devices(base) is None
    base.get_submodule("lm_head").to("meta")
    assert _several_devices(base) == "is placed over several devices ('cpu', 'meta')"


@pytest.fixture
def process_group(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_sharded_bases(folder: Path, process_group: None) -> None:
    mesh = init_device_mesh("cpu", (1,))
    base = _loaded(folder)
    fully_shard(base, mesh=mesh)
    with pytest.raises(
        ConfigError, match=r"is sharded over processes \(model.embed_tokens.weight is a DTensor"
    ):
        RoutedModel(base)
    tensor_parallel = _loaded(folder)
    layer = tensor_parallel.get_submodule("model.layers.1.mlp.up_proj")
    whole = layer.weight
    assert isinstance(whole, torch.nn.Parameter)
    layer.weight = torch.nn.Parameter(distribute_tensor(whole.data, mesh, [Replicate()]))
    assert isinstance(layer.weight, DTensor)
    with pytest.raises(ConfigError, match=r"\(model.layers.1.mlp.up_proj.weight is a DTensor"):
        RoutedModel(tensor_parallel)


def test_one_device_by_a_map(folder: Path) -> None:
    for device_map in ("cpu", {"": "cpu"}):
        model = RoutedModel(_loaded(folder, device_map=device_map))
        assert {parameter.device for parameter in model.base.parameters()} == {torch.device("cpu")}
