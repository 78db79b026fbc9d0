"""A base on the Hub whose weights are a pickle: refused by the list of its files, before any of them is asked for."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from hub_control import HubClient, HubControl
from safetensors.torch import load_file

pytestmark = pytest.mark.slow  # each loads bases in processes of their own


class _Trap:
    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.made),)


def _asked(hub: HubControl) -> set[str]:
    return {entry["path"].rpartition("/")[2] for entry in hub.log(clear=True) if "/resolve/" in entry["path"]}


def test_a_pickle_is_not_downloaded(
    hub: HubControl, client: HubClient, tiny_llama: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "adapter.pt"):
        (folder / name).write_bytes(pickle.dumps(_Trap(tmp_path / "it-ran")))
    client.must("upload_base", folder, "ada/pickled")
    hub.log(clear=True)
    outcome = client.do("base_of", "ada/pickled")
    assert outcome.error.startswith(
        "ConfigError: The weights of the base 'ada/pickled' are in 'adapter.pt', "
    )
    assert "none was downloaded" in outcome.error
    assert not any(name.endswith((".bin", ".pt")) for name in _asked(hub))
    allowed = client.do("base_of", "ada/pickled", {"allow_pickle": True})
    assert allowed.error.startswith("ConfigError: The model 'ada/pickled' could not be loaded")
    assert "pytorch_model.bin" in _asked(hub) and not (tmp_path / "it-ran").exists()

    torch.save(weights, folder / "pytorch_model.bin")
    hub.ask("reset")
    client.must("upload_base", folder, "ada/honest")
    hub.log(clear=True)
    found = client.must("base_of", "ada/honest", {"allow_pickle": True})
    assert found == client.must("base_of", str(tiny_llama)) | {"hub_id": "ada/honest", "name": "ada/honest"}
    assert all("safetensors" not in entry["path"] for entry in hub.log())  # nobody was asked to convert it


def test_safetensors_beside_a_pickle_are_taken(
    hub: HubControl, client: HubClient, tiny_llama: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_llama, tmp_path / "base")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Trap(tmp_path / "it-ran")))
    client.must("upload_base", folder, "ada/both")
    hub.log(clear=True)
    for options in ({}, {"allow_pickle": True}):
        found = client.must("base_of", "ada/both", options)
        assert found["fingerprint"] == client.must("base_of", str(tiny_llama))["fingerprint"]
    names = _asked(hub)
    assert "model.safetensors" in names and "pytorch_model.bin" not in names
