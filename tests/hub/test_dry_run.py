"""`hf-mtl push --dry-run`: exactly what a push then sends, and nothing written before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hub_control import NAMES, HubClient, HubControl
from hub_store import READER

from hf_mtl.export import folder_names
from hf_mtl.export.cards import BaseFacts, SuiteFacts, TaskFacts

WRITING = ("/api/repos/create", "/preupload/", "/commit/", ".git/info/lfs", "/lfs/")


def _sent(found: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        repo: sorted(path for path, (_, change) in files.items() if change != "same")
        for repo, (_, files) in found["repos"].items()
    }


def _bytes_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", ["folders", "repositories"])
def test_cards_count_as_they_will_be_written(
    hub: HubControl, client: HubClient, suite: Path, layout: str
) -> None:
    """They name the repositories that they go to, so a push writes them anew."""
    tasks = tuple(
        TaskFacts(name=name, kind="causal-lm", auto_class="AutoModelForCausalLM", folder=place)
        for name, place in folder_names(NAMES).items()
    )
    SuiteFacts("my suite", BaseFacts("ada/tiny-llama"), tasks).save(suite / "cards.json")
    before = _bytes_of(suite)
    planned = client.must("dry", suite, "ada", {"layout": layout})
    assert _bytes_of(suite) == before
    client.must("push", suite, "ada", {"layout": layout})
    for repo, (_, files) in planned["repos"].items():
        cards = {path: text for path, text in hub.files(repo).items() if path.endswith("README.md")}
        assert cards and {path: len(text) for path, text in cards.items()} == {
            path: size for path, (size, _) in files.items() if path in cards
        }


@pytest.mark.parametrize("layout", ["folders", "repositories"])
def test_it_lists_what_a_push_sends(hub: HubControl, client: HubClient, suite: Path, layout: str) -> None:
    before = _bytes_of(suite)
    for change in (None, "mlp"):
        if change is not None:
            (suite / change / "README.md").write_text("---\nlibrary_name: peft\n---\nchanged\n")
            before = _bytes_of(suite)
        hub.log(clear=True)
        planned = client.must("dry", suite, "ada", {"layout": layout})
        assert planned["unknown"] is None
        assert not [entry for entry in hub.log() if any(part in entry["path"] for part in WRITING)]
        assert _bytes_of(suite) == before
        pushed = client.must("push", suite, "ada", {"layout": layout})
        repos = [*pushed["adapters"].values(), pushed["suite"]]
        assert _sent(planned) == {repo["repo"]: sorted(repo["sent"]) for repo in repos}
        sizes = {
            repo: {path: size for path, (size, _) in files.items()}
            for repo, (_, files) in planned["repos"].items()
        }
        there = {repo: {path: len(own) for path, own in hub.files(repo).items()} for repo in sizes}
        if change is None:
            assert sizes == there
        assert {exists for exists, _ in planned["repos"].values()} == {change is not None}
    assert not any(_sent(client.must("dry", suite, "ada", {"layout": layout})).values())


def test_what_a_push_refuses(hub: HubControl, client: HubClient, suite: Path) -> None:
    assert "may only read" in client.do("dry", suite, "ada", {}, token=READER).error
    assert "the namespace 'bob'" in client.do("dry", suite, "bob", {}).error
    (suite / "mlp" / "adapter_model.safetensors").unlink()
    assert "it is not whole" in client.do("dry", suite, "ada", {}).error


def test_without_a_token_or_a_network_the_files_are_listed(
    hub: HubControl, client: HubClient, suite: Path
) -> None:
    planned = client.must("dry", suite, "ada", {}, token=None)
    [(repo, (exists, files))] = planned["repos"].items()
    assert repo == "ada/my-suite" and exists is None
    assert len(files) > len(NAMES) and {change for _, change in files.values()} == {None}
    assert "none was found" in planned["unknown"]
    hub.fail("GET /api/whoami-v2", times=1)
    planned = client.must("dry", suite, "ada", {})
    assert "Asking the Hub whose token this is failed" in planned["unknown"]


def test_the_command(hub: HubControl, client: HubClient, suite: Path) -> None:
    outcome = client.do("command", "push", suite, "--namespace", "ada", "--dry-run", "--private")
    assert not outcome.error, outcome.printed
    assert "ada/my-suite  to be made, private, " in outcome.printed
    assert "  + mlp/adapter_model.safetensors  " in outcome.printed
    assert "Dry run: nothing was sent or written." in outcome.printed
    assert hub.ask("repos") == {}
