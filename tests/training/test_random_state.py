"""All random streams go on where they were, also through a checkpoint's files."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hf_mtl.errors import CheckpointError
from hf_mtl.training.checkpoints import read_checkpoint, write_checkpoint
from hf_mtl.training.random_state import capture_random_state, restore_random_state


def _draw() -> list[object]:
    drawn: list[object] = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()]
    drawn += [
        torch.rand(3).tolist(),
        torch.randn(20).tolist(),
        torch.nn.functional.dropout(torch.ones(9)).tolist(),
    ]
    if torch.cuda.is_available():
        drawn += [torch.rand(3, device=f"cuda:{i}").tolist() for i in range(torch.cuda.device_count())]
    return drawn


@pytest.mark.parametrize("before", range(4))
def test_streams_go_on_through_files(tmp_path: Path, before: int) -> None:
    random.seed(before)
    np.random.seed(before)
    torch.manual_seed(before)
    for _ in range(before):  # with and without the second of two normal numbers in store
        _draw()
    tensors, document = capture_random_state()
    write_checkpoint(tmp_path / "checkpoint-1", {"random": tensors}, {"random": document})
    wanted = [_draw() for _ in range(3)]
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(99)
    checkpoint = read_checkpoint(tmp_path / "checkpoint-1")
    restore_random_state(checkpoint.tensors("random"), checkpoint.document("random"))
    assert [_draw() for _ in range(3)] == wanted


def test_capturing_and_restoring_change_nothing() -> None:
    first, document = capture_random_state()
    restore_random_state(first, document)
    second, again = capture_random_state()
    assert document == again and first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def _spoil_document(tensors: dict[str, torch.Tensor], document: dict[str, object]) -> object:
    return None


def _spoil_python(tensors: dict[str, torch.Tensor], document: dict[str, object]) -> object:
    tensors["python"] = tensors["python"][:5]
    return document


def _spoil_numpy(tensors: dict[str, torch.Tensor], document: dict[str, object]) -> object:
    tensors["numpy"] = tensors["numpy"][:5]
    return document


def _spoil_generator(tensors: dict[str, torch.Tensor], document: dict[str, object]) -> object:
    return document | {"numpy": {"bit_generator": "PCG64", "pos": 1, "has_gauss": 0, "gauss": 0.0}}


def _spoil_torch(tensors: dict[str, torch.Tensor], document: dict[str, object]) -> object:
    tensors["torch.cpu"] = torch.zeros(3, dtype=torch.uint8)
    return document


def _forget_torch(tensors: dict[str, torch.Tensor], document: dict[str, object]) -> object:
    del tensors["torch.cpu"]
    return document


@pytest.mark.parametrize(
    "spoil", [_spoil_document, _spoil_python, _spoil_numpy, _spoil_generator, _spoil_torch, _forget_torch]
)
def test_a_broken_state_changes_nothing(spoil: object) -> None:
    assert callable(spoil)
    tensors, document = capture_random_state()
    broken = dict(tensors)
    rest = spoil(broken, copy.deepcopy(document))
    _draw()
    now, now_document = capture_random_state()
    with pytest.raises(CheckpointError, match="random streams cannot be restored"):
        restore_random_state(broken, rest)
    after, after_document = capture_random_state()
    assert now_document == after_document
    assert all(torch.equal(now[key], after[key]) for key in now)


def test_other_devices_are_told(caplog: pytest.LogCaptureFixture) -> None:
    tensors, document = capture_random_state()
    restore_random_state(tensors, document)
    assert caplog.text == ""
    restore_random_state({**tensors, "torch.cuda.99": tensors["torch.cpu"]}, document)
    here = torch.cuda.device_count()
    assert f"saved with {here + 1} CUDA devices, and {here} are here" in caplog.text


def test_another_generator_of_numpy_is_refused() -> None:
    streams: Any = np.random  # its types leave these two functions out
    before = streams.get_bit_generator()
    streams.set_bit_generator(np.random.PCG64(0))
    try:
        with pytest.raises(CheckpointError, match="expected the generator MT19937, found PCG64"):
            capture_random_state()
    finally:
        streams.set_bit_generator(before)
