"""Each argument about the Hub changes what it should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_control import HubClient, HubControl
from hub_store import READER

from hf_mtl.training.argument_table import FIELDS
from hf_mtl.training.treatments import Honoured

pytestmark = pytest.mark.slow  # every test trains in a process of its own

REPO = "ada/out"
PUSHED: dict[str, Any] = {"push_to_hub": True, "max_steps": 2, "save_steps": 1, "hub_always_push": True}

Look = Callable[[HubControl, str], object]
"""From the server, and the error that the run ended with."""


def _repositories(hub: HubControl, error: str) -> object:
    return sorted(hub.ask("repos"))


def _private(hub: HubControl, error: str) -> object:
    return hub.ask("repos")[REPO]["private"]


def _checkpoints(hub: HubControl, error: str) -> object:
    return sorted(
        {path.split("/")[0] for path in hub.files(REPO) if path.startswith(("last-", "checkpoint-"))}
    )


def _refused(hub: HubControl, error: str) -> object:
    return "may only read" in error


def _on_branch(hub: HubControl, error: str) -> object:
    return bool(hub.files(REPO)), bool(hub.files(REPO, "trial"))


# What an argument is set to, what both runs have beside it, what is looked at, and what is seen without and with it.
EFFECTS: dict[str, tuple[object, dict[str, Any], Look, object, object]] = {
    "push_to_hub": (True, {"push_to_hub": False}, _repositories, [], [REPO]),
    "hub_model_id": ("ada/other", {}, _repositories, [REPO], ["ada/other"]),
    "hub_private_repo": (True, {}, _private, False, True),
    "hub_strategy": ("checkpoint", {}, _checkpoints, [], ["last-checkpoint"]),
    "hub_token": (READER, {}, _refused, False, True),
    "hub_revision": ("trial", {}, _on_branch, (True, False), (False, True)),
}


def test_all_of_them_are_here() -> None:
    named = {name for name in FIELDS if name.startswith(("hub_", "push_to_hub"))}
    assert EFFECTS.keys() | {"hub_always_push"} == named
    assert {FIELDS[name] for name in named} == {Honoured.HONOURED}


@pytest.mark.parametrize("name", EFFECTS)
def test_an_argument_changes_what_it_should(
    hub: HubControl, client: HubClient, tiny_llama: Path, tmp_path: Path, name: str
) -> None:
    value, beside, look, without, given = EFFECTS[name]
    seen = []
    for i, changes in enumerate((PUSHED | beside, PUSHED | beside | {name: value})):
        hub.ask("reset")
        if name == "hub_revision":
            hub.ask("put", {"repo": REPO, "files": {}})
            hub.ask("branch", {"repo": REPO, "branch": "trial"})
        outcome = client.do("train", tiny_llama, tmp_path / str(i) / "out", changes)
        assert name == "hub_token" or not outcome.error, outcome.error
        seen.append(look(hub, outcome.error or ""))
    assert seen == [without, given]


def test_hub_always_push(hub: HubControl, client: HubClient, tiny_llama: Path, tmp_path: Path) -> None:
    """While a push is held up a second checkpoint is written: it is left out, or pushed afterwards."""
    messages = []
    for always in (False, True):
        hub.ask("reset")
        hub.fail(r"POST /api/models/ada/out/preupload/", "stall")
        out = tmp_path / str(always) / "out"
        client.start("train", tiny_llama, out, PUSHED | {"hub_always_push": always})
        hub.wait_for(lambda entry: entry["fault"] == "stall")
        end = out / "checkpoint-2" / "checkpoint.json"
        hub.wait_for(lambda _, end=end: end.exists())  # type: ignore[misc]
        hub.ask("heal")
        outcome = client.end()
        assert outcome is not None and outcome.done
        messages.append(hub.commits(REPO))
    assert messages == [
        ["Training in progress, step 1"],
        ["Training in progress, step 1", "Training in progress, step 2"],
    ]
