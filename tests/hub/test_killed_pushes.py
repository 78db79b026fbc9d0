"""kill -9 before and after every request of a push: the Hub then, and after the next push.

Every third request by default, the last one among them, and all of them with EVERY_REQUEST=1.
"""

from __future__ import annotations

import hashlib
import json
import os
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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # some hundreds of pushes

WEIGHTS = "adapter_model.safetensors"
Repos = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def small(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of two adapters, with a card."""
    base, identity = load_base(tiny_llama, hub_id="ada/tiny-llama")
    model = RoutedModel(base, identity=identity)
    for name in ("verbs", "words"):
        model.add_adapter(name, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    folder = tmp_path_factory.mktemp("small") / "small"
    save_suite(model, folder, processor=AutoTokenizer.from_pretrained(tiny_llama))
    for place in (folder, folder / "verbs", folder / "words"):
        (place / "README.md").write_text(f"# {place.name}\n")
    return folder


def _digest(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _on_hub(hub: HubControl) -> Repos:
    """By repository, what its main branch holds."""
    found = {}
    for repo, kept in hub.ask("repos").items():
        last = next(own for own in kept["commits"] if own["sha"] == kept["branches"]["main"])
        found[repo] = {path: text for path, text in last["files"].items() if path != ".gitattributes"}
    return found


def _messages(hub: HubControl) -> dict[str, list[str]]:
    return {repo: [own["message"] for own in kept["commits"]] for repo, kept in hub.ask("repos").items()}


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


def _killed_at(hub: HubControl, client: HubClient, number: int, moment: str, *push: Any) -> None:
    """Kill a push at its request of this number, counted from 0.

    Args:
        moment: "stall": the server has read the request and does nothing; "held": it has done all and says nothing.
    """
    hub.fail(".*", moment, skip=number)
    process = client.start("push", *push)
    hub.wait_for(
        lambda entry: entry["fault"] == moment and (moment == "stall" or entry["status"] is not None)
    )
    os.kill(process, signal.SIGKILL)
    assert client.end() is None
    hub.ask("heal")


@pytest.mark.parametrize("moment", ["stall", "held"], ids=["before", "after"])
@pytest.mark.parametrize("layout", ["folders", "repositories"])
@pytest.mark.parametrize("update", [False, True], ids=["new", "update"])
def test_every_request(
    hub: HubControl, client: HubClient, small: Path, tmp_path: Path, layout: str, update: bool, moment: str
) -> None:
    suite = shutil.copytree(small, tmp_path / "suite")
    options = {"layout": layout}

    hub.ask("put", {"repo": "ada/novel", "files": {"README.md": "Another thing of hers"}})
    if update:
        client.must("push", suite, "ada", options)
        hub.ask("put", {"repo": "ada/suite", "files": {"notes.md": "Written on the Hub's page"}})
        for task in ("verbs", "words"):
            weights = load_file(suite / task / WEIGHTS)
            save_file({key: own + 1 for key, own in weights.items()}, suite / task / WEIGHTS)
    hub.ask("keep")
    before = _on_hub(hub)
    hub.log(clear=True)
    client.must("push", suite, "ada", options)
    requests = [f"{entry['method']} {entry['path']}" for entry in hub.log()]
    wanted, messages, here = _on_hub(hub), _messages(hub), _digest(suite)
    assert any("/commit/" in path for path in requests) and any("/verify" in path for path in requests)
    assert wanted["ada/novel"] == before["ada/novel"]
    assert "notes.md" in wanted["ada/suite"] or not update
    step = 1 if "EVERY_REQUEST" in os.environ else 3
    for number in range((len(requests) - 1) % step, len(requests), step):
        path = requests[number]
        hub.ask("restore")
        _killed_at(hub, client, number, moment, suite, "ada", options)
        for repo, files in _on_hub(hub).items():
            assert files in ({}, before.get(repo, {}), wanted[repo]), (path, repo)
        _named_is_there(hub)
        assert _digest(suite) == here, path
        client.must("push", suite, "ada", options)
        assert _on_hub(hub) == wanted, path
        assert _messages(hub) == messages, path  # none twice
        _named_is_there(hub)
