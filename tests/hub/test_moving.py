"""A repository that changes while it is pulled: what comes is of one commit, or a message."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_control import NAMES, HubClient, HubControl, Outcome
from safetensors.torch import load_file, save_file

from hf_mtl.export import folder_names

pytestmark = pytest.mark.slow  # pushes and pulls in processes of their own

WEIGHTS = "adapter_model.safetensors"
TASK = NAMES[0]


@pytest.fixture
def pull(hub: HubControl, client: HubClient) -> Callable[[str, str, Callable[[], object]], Outcome]:
    """Pull a task, and do something in the moment at which the server is asked for a path."""

    def pull(source: str, path: str, meanwhile: Callable[[], object]) -> Outcome:
        hub.fail(path, "stall")
        client.start("chosen_logits", "ada/tiny-llama", {TASK: source})
        hub.wait_for(lambda entry: entry["fault"] == "stall")
        meanwhile()
        hub.ask("heal")
        outcome = client.end()
        assert outcome is not None
        return outcome

    return pull


def _change(suite: Path, by: float) -> None:
    """Other weights, which no cache has yet."""
    for place in folder_names(NAMES).values():
        file = suite / place / WEIGHTS
        save_file({key: own + by for key, own in load_file(file).items()}, file, metadata={"format": "pt"})


@pytest.mark.parametrize("layout", ["folders", "repositories"])
def test_a_push_in_between(
    hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path, pull: Any, layout: str
) -> None:
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    _change(suite, 0.25 if layout == "folders" else 0.125)
    pushed = client.must("push", suite, "ada", {"layout": layout, "name": layout})
    commit = pushed["suite"]["commit"]
    old = dict(hub.files(f"ada/{layout}"))
    _change(suite, 0.5)

    def push() -> None:
        """As somebody else would: all files of the next push, in one commit."""
        files = {path: raw.decode("latin-1") for path, raw in old.items()}
        places = folder_names(NAMES)
        for place in places.values():
            repo = f"ada/{layout}-{place}" if layout == "repositories" else f"ada/{layout}"
            path = WEIGHTS if layout == "repositories" else f"{place}/{WEIGHTS}"
            hub.ask("put", {"repo": repo, "files": {path: "no weights at all"}})
        hub.ask("put", {"repo": f"ada/{layout}", "files": {**files, "hf_mtl.json": "{}"}})

    found = pull(f"ada/{layout}:{TASK}", rf"(GET|HEAD) /ada/.*/resolve/.*{WEIGHTS}", push)
    now = client.must("chosen_logits", "ada/tiny-llama", {TASK: f"ada/{layout}@{commit}:{TASK}"})
    if found.error:  # the connection was cut: it is said, and the next pull of that commit works
        assert found.error.startswith("SavedAdapterError") and "ada/" in found.error, found.error
    else:
        assert torch.equal(torch.tensor(found.result[TASK]), torch.tensor(now[TASK]))


def test_a_repository_that_is_deleted(
    hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path, pull: Any
) -> None:
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    _change(suite, 0.75)
    client.must("push", suite, "ada", {"name": "gone"})
    found = pull(
        f"ada/gone:{TASK}", rf"(GET|HEAD) /ada/.*/resolve/.*{WEIGHTS}", lambda: hub.ask("drop", "ada/gone")
    )
    assert found.error.startswith("SavedAdapterError: ") and "ada/gone" in found.error, found.printed
    again = client.do("chosen_logits", "ada/tiny-llama", {TASK: f"ada/gone:{TASK}"})
    assert again.error.startswith("SavedAdapterError: ") and "ada/gone" in again.error


@pytest.mark.parametrize("path", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_a_tokenizer_is_of_one_commit(
    hub: HubControl, client: HubClient, tiny_llama: Path, path: str
) -> None:
    repo = f"ada/moving-{path.partition('.')[0].replace('_', '-')}"  # what no cache has yet
    client.must("upload_base", tiny_llama, repo)
    vocabulary = json.loads((tiny_llama / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary["added_tokens"].append({**vocabulary["added_tokens"][0], "id": 9999, "content": "<new>"})
    settings = json.loads((tiny_llama / "tokenizer_config.json").read_text(encoding="utf-8"))
    new = {
        "tokenizer.json": json.dumps(vocabulary),
        "tokenizer_config.json": json.dumps({**settings, "chat_template": "new"}),
    }
    hub.fail(rf"(GET|HEAD) /ada/moving.*/resolve/.*/{path}", "pause")
    client.start("tokenizer_of", repo)
    hub.wait_for(lambda entry: entry["fault"] == "pause")
    hub.ask("put", {"repo": repo, "files": new})
    hub.ask("heal")
    outcome = client.end()
    assert outcome is not None
    template, knows = outcome.done
    assert (template == "new") == knows, outcome.done


def test_a_pull_that_broke_off_is_not_taken_for_whole(
    hub: HubControl, client: HubClient, suite: Path, tiny_llama: Path
) -> None:
    """Killed while its manifest is fetched, the adapter is there; without the Hub it is not loaded without it."""
    client.must("upload_base", tiny_llama, "ada/tiny-llama")
    _change(suite, 1.5)
    source = client.must("push", suite, "ada", {"name": "broken", "layout": "repositories"})["sources"][TASK]
    hub.fail("(GET|HEAD) /ada/.*/resolve/.*hf_mtl.json", "stall", times=1000)
    process = client.start("chosen_logits", "ada/tiny-llama", {TASK: source})
    hub.wait_for(
        lambda entry: WEIGHTS in entry["path"] and entry["method"] == "GET" and entry["status"] == 200
    )
    os.kill(process, signal.SIGKILL)
    assert client.end() is None
    hub.ask("heal")
    hub.fail("(GET|HEAD) /(api|ada)/.*", "drop", times=1000)
    away = client.do("chosen_logits", str(tiny_llama), {TASK: source})
    assert away.error.startswith("SavedAdapterError: ") and source in away.error, away.result
    hub.ask("heal")
    client.must("chosen_logits", "ada/tiny-llama", {TASK: source})
