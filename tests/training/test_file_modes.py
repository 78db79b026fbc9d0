"""Every file and folder of a run has the mode that the user's umask gives, also what is written by way of others."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hf_mtl.export import save_suite
from runs import tasks, trainer_of


@pytest.fixture(params=[0o022, 0o077], ids=["umask 022", "umask 077"])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_checkpoints_and_exports(umask: int, tiny_llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trainer = trainer_of(
        tiny_llama, out, tasks(), max_steps=1, save_strategy="steps", save_steps=1, warmup_steps=0
    )
    trainer.train()
    trainer.save_model()
    trainer.create_model_card()
    save_suite(trainer.model, tmp_path / "suite", processor=trainer.processing_class)
    written = [path for folder in (out, tmp_path / "suite") for path in (folder, *folder.rglob("*"))]
    weights = [path for path in written if path.suffix == ".safetensors"]
    assert len(weights) >= 6 and {path.parent.name for path in weights} >= {"checkpoint-1", "verbs"}
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in written}
    wrong = {
        str(path): oct(mode)
        for path, mode in modes.items()
        if mode != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert not wrong
