"""A push on a bad day: errors that pass, errors that stay, and a push that is killed."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from hub_control import NAMES, HubClient, HubControl

COMMIT, PUT = r"POST /api/models/.*/commit/", r"PUT /lfs/"
LAYOUTS = ["folders", "repositories"]

pytestmark = pytest.mark.slow  # a minute of processor time


def _named_is_there(hub: HubControl) -> None:
    """Whatever a manifest of a suite names is on the Hub, whole; also in every earlier commit."""
    repos = hub.ask("repos")
    for repo in repos.values():
        for commit in repo["commits"]:
            manifest = json.loads(commit["files"].get("hf_mtl.json", '{"tasks": {}, "repos": {}}'))
            for task, place in manifest["tasks"].items():
                files, start = commit["files"], "" if place == "." else f"{place}/"
                if task in manifest["repos"]:
                    name, sha = manifest["repos"][task].split("@")
                    files = next(own["files"] for own in repos[name]["commits"] if own["sha"] == sha)
                assert {f"{start}adapter_config.json", f"{start}adapter_model.safetensors"} <= files.keys()


def _sent_once(hub: HubControl) -> None:
    """No large file arrived twice, and no file was in two commits."""
    log = hub.log()
    arrived = Counter(e["path"] for e in log if e["method"] == "PUT" and e["status"] == 200)
    committed = Counter(
        (e["path"].split("/commit/")[0], path) for e in log if e.get("sent") is not None for path in e["sent"]
    )
    assert arrived and set(arrived.values()) == set(committed.values()) == {1}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_failures_that_pass(hub: HubControl, client: HubClient, suite: Path, layout: str) -> None:
    hub.fail("GET /api/whoami-v2", times=2)
    hub.fail("GET /api/models/", times=1, status=429, retry_after=7)
    hub.fail("POST /api/repos/create", "drop", times=1)
    hub.fail("POST /.*/objects/batch", times=1, status=502)
    hub.fail(PUT, "half", times=2)
    hub.fail(PUT, "drop", times=1, skip=2)
    hub.fail(COMMIT, times=1, status=500)
    outcome = client.do("push", suite, "ada", {"layout": layout})
    assert outcome.done["sources"].keys() == set(NAMES)
    assert {entry["fault"] for entry in hub.log()} == {None, "status", "drop", "half"}
    assert 7 <= max(outcome.pauses) < 12  # what the Hub asked for, and a little more
    _named_is_there(hub)
    _sent_once(hub)


def test_pauses_grow_and_end(hub: HubControl, client: HubClient, suite: Path) -> None:
    hub.fail("GET /api/whoami-v2", times=100)
    outcome = client.do("push", suite, "ada", {})
    assert outcome.error == (
        "HubError: Asking the Hub whose token this is failed: HTTP 503 (the test wants it so); 6 attempts were made"
    )
    assert len(outcome.pauses) == 5
    assert all(2**i <= pause <= 1.5 * 2**i for i, pause in enumerate(outcome.pauses))
    assert len(set(outcome.pauses)) == 5 and sum(e["status"] == 503 for e in hub.log()) == 6


def test_a_pause_that_is_too_long(hub: HubControl, client: HubClient, suite: Path) -> None:
    hub.fail(COMMIT, status=429, retry_after=3600)
    outcome = client.do("push", suite, "ada", {})
    assert (
        "HTTP 429 (the test wants it so); the Hub asks to wait 3600 s, and more than 600 s are not"
        in outcome.error
    )
    assert not hub.files("ada/my-suite")


def test_a_refusal_is_not_tried_again(hub: HubControl, client: HubClient, suite: Path) -> None:
    hub.fail(COMMIT, status=403, times=100)
    outcome = client.do("push", suite, "ada", {})
    assert (
        outcome.error.startswith("HubError: Uploading to 'ada/my-suite' failed: ") and "403" in outcome.error
    )
    assert sum(entry["status"] == 403 for entry in hub.log()) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_lost_answer_makes_no_second_commit(
    hub: HubControl, client: HubClient, suite: Path, layout: str
) -> None:
    hub.fail(COMMIT, "lost", times=3)
    assert client.must("push", suite, "ada", {"layout": layout})
    _sent_once(hub)
    _named_is_there(hub)


def test_somebody_else_commits_in_between(hub: HubControl, client: HubClient, suite: Path) -> None:
    hub.fail(PUT, "stall")
    client.start("push", suite, "ada", {})
    hub.wait_for(lambda entry: entry["fault"] == "stall")
    hub.ask("put", {"repo": "ada/my-suite", "files": {"theirs.txt": "theirs", "mlp/README.md": "theirs"}})
    hub.ask("heal")
    outcome = client.end()
    assert outcome is not None and outcome.done
    assert [entry["status"] for entry in hub.log() if "/commit/" in entry["path"]] == [412, 200]
    files = hub.files("ada/my-suite")
    assert files["theirs.txt"] == b"theirs" and files["mlp/README.md"].startswith(b"---")


def test_a_hub_that_is_offline(hub: HubControl, client: HubClient, suite: Path) -> None:
    hub.fail(".*", "drop", times=100)
    outcome = client.do("push", suite, "ada", {})
    assert "HubError: Asking the Hub whose token this is failed: RemoteProtocolError" in outcome.error


@pytest.mark.parametrize(
    ("layout", "path", "skip"),
    [
        ("folders", PUT, 4),
        ("folders", COMMIT, 0),
        ("repositories", PUT, 4),
        ("repositories", COMMIT, 3),
        ("repositories", COMMIT, 8),
        ("repositories", "POST /api/repos/create", 5),
    ],
)
def test_a_push_that_is_killed_goes_on(
    hub: HubControl, client: HubClient, suite: Path, layout: str, path: str, skip: int
) -> None:
    hub.fail(path, "stall", skip=skip)
    process = client.start("push", suite, "ada", {"layout": layout})
    hub.wait_for(lambda entry: entry["fault"] == "stall")
    os.kill(process, signal.SIGKILL)
    assert client.end() is None
    hub.ask("heal")
    assert "hf_mtl.json" not in hub.files("ada/my-suite") if "ada/my-suite" in hub.ask("repos") else True
    assert client.must("push", suite, "ada", {"layout": layout})
    _named_is_there(hub)
    _sent_once(hub)
    commits = [entry for entry in hub.log() if entry.get("commit")]
    with_suite = [entry for entry in commits if "/ada/my-suite/" in entry["path"]]
    assert with_suite == [commits[-1]] and commits[-1]["sent"][-1] == "hf_mtl.json"


def test_an_update_that_fails_leaves_the_suite_as_it_was(
    hub: HubControl, client: HubClient, suite: Path
) -> None:
    client.must("push", suite, "ada", {"layout": "repositories"})
    before = hub.files("ada/my-suite")
    for name in ("mlp", "weight"):
        file = suite / name / "adapter_model.safetensors"
        file.write_bytes((suite / name / "adapter_model.safetensors").read_bytes()[:-4] + b"\0\0\0\0")
    hub.fail(r"POST /api/models/ada/my-suite-weight/commit/", times=100)
    assert (
        "my-suite-weight' failed: HTTP 503"
        in client.do("push", suite, "ada", {"layout": "repositories"}).error
    )
    assert hub.files("ada/my-suite") == before  # and it names the commits from before
    _named_is_there(hub)
    hub.ask("heal")
    client.must("push", suite, "ada", {"layout": "repositories"})
    assert len(hub.commits("ada/my-suite-mlp")) == len(hub.commits("ada/my-suite-weight")) == 2
    assert hub.files("ada/my-suite") != before
