"""kill -9 at each kind of request of a push, its first and its last: the Hub then, and after the next push."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from hub_control import HubClient, HubControl
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from hf_mtl import RoutedModel, load_base
from hf_mtl.export import save_suite

pytestmark = pytest.mark.slow  # some dozens of pushes

WEIGHTS = "adapter_model.safetensors"
Repos = dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
def small(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of two adapters, with a card."""
    base, identity = load_base(tiny_llama, hub_id="ada/tiny-llama")
    model = RoutedModel(base, identity=identity)
    for name in ("verbs", "words"):
        model.add_adapter(name, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    folder = tmp_path_factory.mktemp("small") / "small"
    save_suite(model, folder, processor=AutoTokenizer.from_pretrained(tiny_llama))
    (folder / "README.md").write_text("# A suite\n")
    return folder


def _digest(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _on_hub(hub: HubControl) -> Repos:
    return {repo: hub.files(repo) for repo in hub.ask("repos")}


def _named_is_there(hub: HubControl) -> None:
    """In every commit, whatever a manifest names is there, at the commit that it names."""
    repos = hub.ask("repos")
    for commit in (own for repo in repos.values() for own in repo["commits"]):
        manifest = json.loads(commit["files"].get("hf_mtl.json", '{"tasks": {}, "repos": {}}'))
        for task, place in manifest["tasks"].items():
            files, start = commit["files"], "" if place == "." else f"{place}/"
            if task in manifest["repos"]:
                name, sha = manifest["repos"][task].split("@")
                files = next(own["files"] for own in repos[name]["commits"] if own["sha"] == sha)
            assert {f"{start}adapter_config.json", f"{start}{WEIGHTS}"} <= files.keys()


def _ends_of_each_kind(requests: list[str]) -> list[int]:
    """The first and the last request of each kind: names of repositories, commits and files left out."""
    kinds: dict[str, list[int]] = {}
    for number, path in enumerate(requests):
        kinds.setdefault(re.sub(r"/ada/[^/.]+|[0-9a-f]{40,64}", "*", path), []).append(number)
    return sorted({number for found in kinds.values() for number in (found[0], found[-1])})


def _killed_at(hub: HubControl, client: HubClient, number: int, *push: Any) -> None:
    """Kill a push at its request of this number, counted from 0; the server has read the request and does nothing."""
    hub.fail(".*", "stall", skip=number)
    process = client.start("push", *push)
    hub.wait_for(lambda entry: entry["fault"] == "stall")
    os.kill(process, signal.SIGKILL)
    assert client.end() is None
    hub.ask("heal")


@pytest.mark.parametrize("layout", ["folders", "repositories"])
@pytest.mark.parametrize("update", [False, True], ids=["new", "update"])
def test_every_request(
    hub: HubControl, client: HubClient, small: Path, tmp_path: Path, layout: str, update: bool
) -> None:
    suite = shutil.copytree(small, tmp_path / "suite")
    options = {"layout": layout}

    def begin() -> Repos:
        """The Hub before the push, and the folder that is to be pushed."""
        hub.ask("reset")
        if update:
            for task in ("verbs", "words"):
                shutil.copyfile(small / task / WEIGHTS, suite / task / WEIGHTS)
            client.must("push", suite, "ada", options)
            for task in ("verbs", "words"):
                weights = load_file(suite / task / WEIGHTS)
                save_file({key: own + 1 for key, own in weights.items()}, suite / task / WEIGHTS)
        hub.log(clear=True)
        return _on_hub(hub)

    before = begin()
    client.must("push", suite, "ada", options)
    requests = [f"{entry['method']} {entry['path']}" for entry in hub.log()]
    wanted, here = _on_hub(hub), _digest(suite)
    assert any("/commit/" in path for path in requests) and any("/verify" in path for path in requests)
    for number in _ends_of_each_kind(requests):
        path = requests[number]
        begin()
        _killed_at(hub, client, number, suite, "ada", options)
        for repo, files in _on_hub(hub).items():
            assert files in ({}, before.get(repo, {}), wanted[repo]), (path, repo)
        _named_is_there(hub)
        assert _digest(suite) == here, path
        client.must("push", suite, "ada", options)
        assert _on_hub(hub) == wanted, path
        _named_is_there(hub)
