"""A tracker gets what the log has: read back from what a real run wrote."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto import event_pb2

from hf_mtl.training.mixtures import Mixture, mixture_from
from runs import tasks, trainer_of


def _scalars(folder: Path) -> dict[tuple[str, int], float]:
    """All scalars in a folder of event files, by tag and round. A record is: length, its checksum, event, checksum."""
    found: dict[tuple[str, int], float] = {}
    for file in folder.rglob("events.out.tfevents.*"):
        content = file.read_bytes()
        place = 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            event = event_pb2.Event.FromString(content[place + 12 : place + 12 + length])
            place += 12 + length + 4
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found[value.tag, event.step] = value.simple_value
    return found


@pytest.mark.parametrize(
    "mixture", ["all", mixture_from("proportional", ["verbs", "mlp", "c/d"])], ids=["name", "object"]
)
def test_tensorboard(tiny_llama: Path, tmp_path: Path, mixture: str | Mixture) -> None:
    changes: dict[str, Any] = {
        "report_to": "tensorboard",
        "eval_strategy": "steps",
        "eval_steps": 3,
        "max_steps": 6,
    }
    trainer = trainer_of(tiny_llama, tmp_path, tasks(), mixture=mixture, **changes)
    trainer.train()
    written = _scalars(tmp_path)
    logged = {
        (f"eval/{key[5:]}" if key.startswith("eval_") else f"train/{key}", entry["step"]): value
        for entry in trainer.state.log_history
        for key, value in entry.items()
        if key != "step" and "train_loss" not in entry
    }
    assert {("train/mlp/loss", 1), ("eval/c/d/loss", 6)} <= logged.keys()
    for key, value in logged.items():
        assert written[key] == pytest.approx(value, rel=1e-6), key  # a scalar there is a float of 32 bits
