"""What is told of a run's device is that of the device it was on, whatever else the machine has."""

from __future__ import annotations

import pytest
import torch

from hf_mtl.training.cards import environment
from hf_mtl.training.meter import TaskMeter


@pytest.fixture
def _with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU of {device}")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 5 * 2**20)


@pytest.mark.usefixtures("_with_a_gpu")
@pytest.mark.parametrize(("device", "hardware"), [("cuda:1", "GPU of cuda:1"), ("cpu", "CPU")])
def test_hardware_of_a_card(device: str, hardware: str) -> None:
    assert hardware in environment(device)["hardware"]


@pytest.mark.usefixtures("_with_a_gpu")
def test_memory_in_the_log() -> None:
    assert TaskMeter("cuda").drain({})["memory_mib"] == 5
    assert TaskMeter("cpu").drain({})["memory_mib"] > 50
