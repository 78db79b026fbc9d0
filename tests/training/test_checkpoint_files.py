"""What is written comes back bit for bit; what would not is refused before anything is written."""

from __future__ import annotations

import json
import math
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig
from torch import Tensor

from hf_mtl import __version__
from hf_mtl.errors import CheckpointError, CheckpointWriteError
from hf_mtl.export import read_adapter_folder, write_adapter_folder
from hf_mtl.training.checkpoints import INDEX_FILE, Checkpoint, read_checkpoint, write_checkpoint
from hf_mtl.training.checkpoints.exact_json import dumps, loads

DTYPES = [
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.float16,
    torch.bfloat16,
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.float8_e4m3fn,
]


def _round_trip(folder: Path, tensors: dict[str, Tensor], document: object = None) -> Checkpoint:
    write_checkpoint(folder / "checkpoint-1", {"all": tensors}, {"state": document})
    return read_checkpoint(folder / "checkpoint-1")


def _bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_and_shape(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    shapes: list[tuple[int, ...]] = [(), (0,), (7,), (3, 0, 2), (2, 3, 5)]
    tensors = {str(shape): (torch.randn(shape) * 100).abs().to(dtype) for shape in shapes}
    found = _round_trip(tmp_path, tensors).tensors("all")
    assert found.keys() == tensors.keys()
    for key, tensor in tensors.items():
        assert found[key].dtype == dtype and found[key].shape == tensor.shape
        assert _bits(found[key]) == _bits(tensor)


def test_nan_payloads_and_signed_zeros_in_tensors(tmp_path: Path) -> None:
    odd = torch.tensor([0x7FC00001, 0x80000000, 0xFFC00000, 0x7F800000, 1], dtype=torch.int64).to(torch.int32)
    found = _round_trip(tmp_path, {"odd": odd.view(torch.float32)}).tensors("all")["odd"]
    assert torch.equal(found.view(torch.int32), odd)


def test_views_and_shared_memory(tmp_path: Path) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "whole": whole,
        "again": whole,
        "transposed": whole.T,
        "strided": whole[::2, 1::3],
        "expanded": whole[0, 2].expand(3, 2),
        "part": whole[1],
        "parameter": torch.nn.Parameter(whole[2]),
        "conjugate": torch.complex(whole, -whole).conj(),
        "negative": torch.complex(whole, whole).conj().imag,
    }
    found = _round_trip(tmp_path, tensors).tensors("all")
    for key, tensor in tensors.items():
        assert torch.equal(found[key], tensor), key
    found["whole"].zero_()
    assert torch.equal(found["again"], whole)  # each has memory of its own, and well aligned
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found.values())


def test_keys_are_any_text(tmp_path: Path) -> None:
    keys = [
        "q&a/π 🙂",
        "../../etc/passwd",
        "__metadata__",
        '"__metadata__"',
        '"',
        "",
        "a\nb\0",
        "\ud800",
        "%",
    ]
    tensors = {key: torch.tensor(number) for number, key in enumerate(keys)}
    found = _round_trip(tmp_path, tensors, {key: number for number, key in enumerate(keys)})
    assert {key: int(tensor) for key, tensor in found.tensors("all").items()} == found.document("state")
    assert found.document("state") == {key: number for number, key in enumerate(keys)}


def test_no_tensors(tmp_path: Path) -> None:
    assert _round_trip(tmp_path, {}).tensors("all") == {}


def test_floats_round_trip_to_the_bit() -> None:
    drawn = random.Random(0)
    bits = [drawn.getrandbits(64) for _ in range(20_000)]
    bits += [0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000001, 0xFFF8000000000000, 1 << 63, 1]
    floats = [struct.unpack(">d", value.to_bytes(8))[0] for value in bits]
    text = dumps(floats)
    json.loads(text, parse_constant=pytest.fail)  # strict JSON: no NaN, no Infinity
    found = loads(text)
    assert isinstance(found, list)
    assert [struct.pack(">d", value) for value in found] == [struct.pack(">d", value) for value in floats]
    assert any(math.isnan(value) for value in floats[:-6])  # the draw had some of its own


@pytest.mark.parametrize(
    "value",
    [
        {"$float": "inf"},
        {"$float": {"$float": math.inf}},
        {"$$float": [1, True, None, "é\ud800"]},
        {"$": {}, "": []},
        [10**40, -1, 1.0, 0.1 + 0.2],
    ],
    ids=repr,
)
def test_documents_cannot_be_mistaken(value: object) -> None:
    found = loads(dumps(value))
    assert repr(found) == repr(value)  # repr tells 1 from 1.0 and True


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [(1, 2)]}, "state.json.a[0]: JSON keeps .* found tuple"),
        ({1: "x"}, "state.json: the keys of a JSON object are text; found 1"),
        ({"a": {"b": np.float32(1)}}, "state.json.a.b: .* found float32"),
        ([torch.ones(1)], "found Tensor.* save it as a tensor"),
    ],
)
def test_what_json_would_change_is_refused(tmp_path: Path, value: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=message.replace("[0]", r"\[0\]")):
        _round_trip(tmp_path, {}, value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.ones(2, dtype=torch.complex128), "no tensors of dtype torch.complex128; found 'a/w'"),
        (torch.ones(2, device="meta"), "'a/w': expected a tensor with plain values, found a meta one"),
        (torch.ones(2).to_sparse(), "found a torch.sparse_coo one"),
    ],
)
def test_tensors_that_cannot_be_kept(tmp_path: Path, tensor: Tensor, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        _round_trip(tmp_path, {"a/w": tensor})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stem", ["q&a", "../up", "a/b", ".hidden", "", "dot.", "naïve"])
def test_stems_are_checked(tmp_path: Path, stem: str) -> None:
    with pytest.raises(CheckpointError, match="export.folder_names"):
        write_checkpoint(tmp_path / "run" / "checkpoint-1", {stem: {}}, {})
    with pytest.raises(CheckpointError, match="export.folder_names"):
        write_checkpoint(tmp_path / "run" / "checkpoint-1", {}, {stem: 1})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stems", [["checkpoint"], ["Checkpoint"], ["a", "A"]])
def test_file_names_are_unique(tmp_path: Path, stems: list[str]) -> None:
    with pytest.raises(CheckpointError, match="a name of its own"):
        write_checkpoint(tmp_path / "checkpoint-1", {}, dict.fromkeys(stems))


def test_adapters_are_written_along(tmp_path: Path) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    weights = {"base_model.model.q_proj.lora_A.weight": torch.randn(2, 4)}

    def adapters(folder: Path) -> None:
        write_adapter_folder(folder / "adapters" / "one", config, weights, base="some/base")

    folder = tmp_path / "checkpoint-1"
    write_checkpoint(folder, {"w": {}}, {}, also=adapters)
    _, found = read_adapter_folder(folder / "adapters" / "one")
    assert torch.equal(*found.values(), *weights.values())
    (folder / "adapters" / "one" / "adapter_config.json").unlink()
    with pytest.raises(CheckpointError, match="adapters/one/adapter_config.json: expected a file of"):
        read_checkpoint(folder)


def test_also_must_not_write_what_is_written_anyway(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="'state.json' is written twice"):
        write_checkpoint(
            tmp_path / "checkpoint-1", {}, {"state": 1}, also=lambda folder: (folder / "state.json").touch()
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["elsewhere", __file__])
def test_also_must_not_write_links(tmp_path: Path, target: str) -> None:
    with pytest.raises(CheckpointError, match="plain files and folders only"):
        write_checkpoint(
            tmp_path / "checkpoint-1", {}, {}, also=lambda folder: (folder / "link").symlink_to(target)
        )
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_also_leaves_nothing(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        (folder / "file").touch()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_checkpoint(tmp_path / "checkpoint-1", {}, {}, also=broken)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_replaced(tmp_path: Path) -> None:
    for version in (1, 2):
        write_checkpoint(tmp_path / "checkpoint-1", {f"only{version}": {}}, {"state": version})
    assert read_checkpoint(tmp_path / "checkpoint-1").document("state") == 2
    assert sorted(path.name for path in (tmp_path / "checkpoint-1").iterdir()) == [
        INDEX_FILE,
        "only2.safetensors",
        "state.json",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-1"]


def test_somebody_elses_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "optimizer.pt").touch()
    with pytest.raises(CheckpointWriteError, match="something else is there: 'optimizer.pt'. Move it away"):
        write_checkpoint(tmp_path / "checkpoint-1", {}, {})
    assert [path.name for path in tmp_path.rglob("*")] == ["checkpoint-1", "optimizer.pt"]


def test_the_index_says_what_is_there(tmp_path: Path) -> None:
    checkpoint = _round_trip(tmp_path, {"w": torch.ones(3)})
    content = json.loads((checkpoint.folder / INDEX_FILE).read_text())
    assert content["hf_mtl_version"] == __version__
    assert {path: entry["size"] for path, entry in content["files"].items()} == {
        name: (checkpoint.folder / name).stat().st_size for name in ("all.safetensors", "state.json")
    }


def test_equal_contents_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        _round_trip(tmp_path / name, {"w": torch.ones(3), "v": torch.zeros(2)}, {"x": [0.5]})
    first, second = (sorted((tmp_path / name / "checkpoint-1").iterdir()) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    folder = _round_trip(tmp_path, {"w": torch.ones(1)}).folder
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_what_a_checkpoint_does_not_hold(tmp_path: Path) -> None:
    checkpoint = _round_trip(tmp_path, {})
    with pytest.raises(CheckpointError, match="holds no 'moments.safetensors'; it has 'all.safetensors'"):
        checkpoint.tensors("moments")
    with pytest.raises(CheckpointError, match="holds no '../x.json'"):
        checkpoint.document("../x")


def test_writing_draws_no_random_numbers(tmp_path: Path) -> None:
    states = []
    for _ in range(2):
        words = np.random.get_state(legacy=False)["state"]["key"]
        states.append((torch.get_rng_state(), random.getstate(), words))
        _round_trip(tmp_path, {"w": torch.ones(3)})
    (a, b, c), (x, y, z) = states
    assert torch.equal(a, x) and b == y and np.array_equal(c, z)
