"""A server, the real client in a process of its own, and a suite of eight adapters to push."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_control import NAMES, HubClient, HubControl
from peft import LoraConfig
from transformers import AutoTokenizer

from hf_mtl import RoutedModel, load_base
from hf_mtl.export import save_suite


@pytest.fixture(scope="session")
def _hub() -> Iterator[HubControl]:
    hub = HubControl()
    yield hub
    hub.close()


@pytest.fixture(scope="session")
def client(_hub: HubControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    client = HubClient(_hub, tmp_path_factory.mktemp("client"))
    yield client
    client.close()


@pytest.fixture
def hub(_hub: HubControl) -> HubControl:
    """The server, empty."""
    _hub.ask("reset")
    return _hub


@pytest.fixture(scope="session")
def _saved(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight adapters, a card for each and for the suite, and much that must stay at home."""
    base, identity = load_base(tiny_llama, hub_id="ada/tiny-llama")
    model = RoutedModel(base, identity=identity)
    for i, name in enumerate(NAMES):
        config = LoraConfig(r=2 + i, lora_alpha=3, target_modules="all-linear", init_lora_weights=False)
        model.add_adapter(name, config)
    folder = tmp_path_factory.mktemp("saved") / "my suite"
    manifest = save_suite(model, folder, processor=AutoTokenizer.from_pretrained(tiny_llama))
    for place in (".", *manifest.tasks.values()):
        (folder / place / "README.md").write_text(
            f"---\nlibrary_name: peft\n---\n# {place}\n![losses](loss_curve.png)\n"
        )
        for name in (
            "loss_curve.png",
            "secret.png",
            "training_args.bin",
            "optimizer.pt",
            "notes.txt",
            "report.json",
        ):
            (folder / place / name).write_text(f"{name} of {place}")
    (folder / "checkpoint-2").mkdir()
    (folder / "checkpoint-2" / "checkpoint.json").write_text("{}")
    return folder


@pytest.fixture
def suite(_saved: Path, tmp_path: Path) -> Path:
    """A copy of the suite, to be changed."""
    return shutil.copytree(_saved, tmp_path / "my suite")
