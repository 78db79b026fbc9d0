"""A repository with commits of others, before a push and in the middle of one: theirs stay, ours is the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_control import HubClient, HubControl

pytestmark = pytest.mark.slow  # pushes in processes of their own

REPO = "ada/my-suite"
OURS, THEIRS = "Adapters of hf_mtl", "by hand"
COMMIT = "POST /api/models/.*/commit/"


def _put(hub: HubControl, **files: str) -> None:
    hub.ask("put", {"repo": REPO, "files": {path.replace("_", "."): text for path, text in files.items()}})


def _move(hub: HubControl, to: int) -> None:
    """Somebody force-pushes the commit of this number."""
    hub.ask("move", {"repo": REPO, "to": to})


def _pushed_meanwhile(
    hub: HubControl, client: HubClient, suite: Path, path: str, meanwhile: Callable[[], None]
) -> dict[str, Any]:
    """Push, and do something in the moment at which a request has come and is not answered yet."""
    hub.fail(path, "pause")
    client.start("push", suite, "ada", {})
    hub.wait_for(lambda entry: entry["fault"] == "pause")
    meanwhile()
    hub.ask("heal")
    outcome = client.end()
    assert outcome is not None
    done: dict[str, Any] = outcome.done
    return done


def test_commits_of_others_before_a_push(hub: HubControl, client: HubClient, suite: Path) -> None:
    client.must("push", suite, "ada", {})
    ours = hub.files(REPO)
    _put(hub, notes_md="Mine", README_md="Edited on the Hub's page")
    client.must("push", suite, "ada", {})
    assert hub.files(REPO) == ours | {
        "notes.md": b"Mine"
    }  # a card is written anew, and a file of theirs stays
    assert hub.commits(REPO) == [OURS, THEIRS, OURS]


@pytest.mark.parametrize("path", [COMMIT, "POST /.*/objects/batch", "POST /api/models/.*/preupload/"])
def test_a_commit_between_listing_and_ours(
    hub: HubControl, client: HubClient, suite: Path, path: str
) -> None:
    client.must("push", suite, "ada", {})
    _put(hub, README_md="Old")
    ours = {**hub.files(REPO), "README.md": (suite / "README.md").read_bytes()}
    weights = next(suite.glob("*/adapter_model.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    where = weights.relative_to(suite).as_posix()
    pushed = _pushed_meanwhile(
        hub, client, suite, path, lambda: _put(hub, notes_md="Mine", README_md="Newer")
    )
    assert hub.files(REPO) == ours | {"notes.md": b"Mine", where: weights.read_bytes()}
    assert hub.commits(REPO) == [OURS, THEIRS, THEIRS, OURS]
    assert pushed["suite"]["commit"] == hub.ask("repos")[REPO]["branches"]["main"]


@pytest.mark.parametrize("to", [0, 1], ids=["emptied", "set back"])
def test_a_branch_that_is_forced_back_in_the_middle(
    hub: HubControl, client: HubClient, suite: Path, to: int
) -> None:
    """Where ours were taken away, all are there again, and nothing comes back of what others took away."""
    client.must("push", suite, "ada", {})
    ours = hub.files(REPO)
    _put(hub, notes_md="Taken away again", README_md="Old")
    _pushed_meanwhile(hub, client, suite, COMMIT, lambda: _move(hub, to))
    assert hub.files(REPO) == ours


def test_a_branch_that_was_forced_back_before(hub: HubControl, client: HubClient, suite: Path) -> None:
    client.must("push", suite, "ada", {})
    ours = hub.files(REPO)
    _move(hub, 0)
    assert not hub.files(REPO)
    client.must("push", suite, "ada", {})
    assert hub.files(REPO) == ours


def test_nobody_wins_for_ever(hub: HubControl, client: HubClient, suite: Path) -> None:
    """The Hub says each time that another commit came in between: it is said, and nothing was changed."""
    client.must("push", suite, "ada", {})
    _put(hub, README_md="Old")
    before = hub.files(REPO)
    hub.fail(COMMIT, times=1000, status=412)
    outcome = client.do("push", suite, "ada", {})
    assert outcome.error.startswith("HubError: Uploading to 'ada/my-suite' failed: HTTP 412"), outcome.printed
    assert hub.files(REPO) == before
    hub.ask("heal")
    client.must("push", suite, "ada", {})


NESTED = "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
CARDS = {
    "aliases": f"---\na0: &a0 [x, x]\n{NESTED}---\n",
    "tag": "---\nx: !!python/object/apply:os.system ['touch ran']\n---\n",
    "types": "---\ntags: 7\nlicense: [1, 2]\nmodel-index: 5\nbase_model: {a: b}\n---\n",
    "control": "---\nlicense: \x01\x1b[31m\n---\n# \x1b[31mred\n",
    "long": "---\ntags:\n" + "- x\n" * 5_000 + "---\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", [*CARDS, "latin-1"])
def test_a_card_of_any_kind(hub: HubControl, client: HubClient, suite: Path, kind: str) -> None:
    """Ours reads no front matter: what the Hub does not take, it says."""
    card = (
        CARDS[kind].encode() if kind in CARDS else "---\nlicense: mït\n---\n".encode("latin-1")
    ) + b"loss_curve.png"
    (suite / "README.md").write_bytes(card)
    outcome = client.do("push", suite, "ada", {})
    if outcome.error:
        assert outcome.error.startswith("HubError: Uploading to 'ada/my-suite' failed: "), outcome.printed
        assert len(outcome.error) < 1000 and "\x1b" not in outcome.error
        assert not hub.files(REPO)
    else:
        found = hub.files(REPO)
        assert found["README.md"] == card and "loss_curve.png" in found
    assert not Path("ran").exists()
