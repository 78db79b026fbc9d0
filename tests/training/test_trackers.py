"""A tracker gets what the log has: read back from what a real run wrote."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto import event_pb2
from wandb.proto import wandb_internal_pb2

from hf_mtl.training.mixtures import Mixture, mixture_from
from runs import tasks, trainer_of

ROOT = Path(__file__).resolve().parents[2]


def _scalars(folder: Path) -> dict[tuple[str, float], float]:
    """All scalars in a folder of event files, by tag and round. A record is: length, its checksum, event, checksum."""
    found: dict[tuple[str, float], float] = {}
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


def _records(content: bytes) -> Iterator[bytes]:
    """The records of a .wandb file: LevelDB's log format (blocks of 32 KiB) behind seven bytes of its own."""
    place, record = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:  # no room for a header: the rest of a block is empty
            place += left
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)  # behind a checksum
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            yield record
            record = b""


def _history(file: Path) -> dict[tuple[str, float], float]:
    """What an offline run of wandb keeps for its upload, by key and round."""
    found: dict[tuple[str, float], float] = {}
    for data in _records(file.read_bytes()):
        record = wandb_internal_pb2.Record.FromString(data)  # type: ignore[attr-defined]  # chosen at import
        items = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
        step = items.get("train/global_step", 0)
        found |= {(key, step): value for key, value in items.items() if isinstance(value, float | int)}
    return found


_RUN = """
import json, sys
from pathlib import Path
from runs import tasks, trainer_of
trainer = trainer_of(Path(sys.argv[1]), Path("run"), tasks(), report_to="wandb", max_steps=4, run_name="tasks")
trainer.train()
Path("log.json").write_text(json.dumps(trainer.state.log_history))
"""


def test_wandb_offline(tiny_llama: Path, tmp_path: Path) -> None:
    """In a process of its own: wandb starts a service, and keeps what it once set up for the life of a process."""
    own = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    environment = os.environ | own | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'training'}"}
    command = [sys.executable, "-c", _RUN, str(tiny_llama)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.rglob("offline-run-*/*.wandb")
    written = _history(file)
    history = json.loads((tmp_path / "log.json").read_text())
    losses = {entry["step"]: entry["mlp/loss"] for entry in history if "mlp/loss" in entry}
    assert losses.keys() == {1, 2, 3, 4}
    found = {step: value for (key, step), value in written.items() if key == "train/mlp/loss"}
    assert found == losses, sorted(written)
