"""A suite on its way to the Hub, in both layouts; what is refused before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_control import NAMES, HubClient, HubControl
from hub_store import FINE_READER, FINE_WRITER, READER

from hf_mtl.export import folder_names
from hf_mtl.export.cards import BaseFacts, SuiteFacts, TaskFacts

AT_HOME = ("training_args.bin", "optimizer.pt", "notes.txt", "report.json", "secret.png", "checkpoint-2")


def _writes(hub: HubControl) -> list[str]:
    """The requests that would change something."""
    writing = ("/api/repos/create", "/preupload/", "/commit/", ".git/info/lfs", "/lfs/")
    return [entry["path"] for entry in hub.log() if any(part in entry["path"] for part in writing)]


def _commits(hub: HubControl) -> list[tuple[str, list[str]]]:
    return [
        ("/".join(entry["path"].split("/")[3:5]), entry["sent"])
        for entry in hub.log()
        if entry.get("sent") is not None
    ]


def test_one_repository_with_a_folder_per_task(hub: HubControl, client: HubClient, suite: Path) -> None:
    pushed = client.must("push", suite, "ada", {})
    files, folders = hub.files("ada/my-suite"), folder_names(NAMES)
    assert pushed["sources"] == {name: f"ada/my-suite:{name}" for name in NAMES}
    assert len(_commits(hub)) == 1 and _commits(hub)[0][1][-1] == "hf_mtl.json"
    assert (
        json.loads(files["hf_mtl.json"])["tasks"] == folders
        and json.loads(files["hf_mtl.json"])["repos"] == {}
    )
    for place in folders.values():
        for name in ("adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "loss_curve.png"):
            assert files[f"{place}/{name}"] == (suite / place / name).read_bytes()
        assert json.loads(files[f"{place}/hf_mtl.json"])["tasks"].keys() <= set(NAMES)
    assert not [path for path in files if path.split("/")[-1] in AT_HOME or path.startswith("checkpoint")]
    assert not [
        path for path, content in files.items() if b"/tiny-llama" in content.replace(b"ada/tiny-llama", b"")
    ]


def test_one_repository_per_task(hub: HubControl, client: HubClient, suite: Path) -> None:
    pushed = client.must(
        "push", suite, "bell-labs", {"layout": "repositories", "name": "eight", "private": True}
    )
    repos = {name: f"bell-labs/eight-{place}" for name, place in folder_names(NAMES).items()}
    assert pushed["sources"] == repos
    commits = _commits(hub)
    assert commits[-1] == ("bell-labs/eight", ["README.md", "loss_curve.png", "hf_mtl.json"])
    manifest = json.loads(hub.files("bell-labs/eight")["hf_mtl.json"])
    assert manifest["tasks"] == dict.fromkeys(NAMES, ".")
    heads = {name: hub.ask("repos")[repo]["branches"]["main"] for name, repo in repos.items()}
    assert manifest["repos"] == {name: f"{repo}@{heads[name]}" for name, repo in repos.items()}
    assert all(own["private"] for own in hub.ask("repos").values())
    for name, repo in repos.items():
        files = hub.files(repo)
        assert json.loads(files["hf_mtl.json"])["tasks"] == {name: "."} and "tokenizer.json" in files
        assert not set(files) & set(AT_HOME)


@pytest.mark.parametrize("layout", ["folders", "repositories"])
def test_cards_name_the_repositories_that_they_are_in(
    hub: HubControl, client: HubClient, suite: Path, layout: str
) -> None:
    places = folder_names(NAMES)
    tasks = tuple(
        TaskFacts(name=name, kind="causal-lm", auto_class="AutoModelForCausalLM", folder=place)
        for name, place in places.items()
    )
    SuiteFacts("my suite", BaseFacts("ada/tiny-llama"), tasks).save(suite / "cards.json")
    client.must("push", suite, "ada", {"layout": layout})
    for name, place in places.items():
        inside = layout == "folders"
        card = hub.files("ada/my-suite" if inside else f"ada/my-suite-{place}")[
            f"{place}/README.md" if inside else "README.md"
        ].decode()
        where = f'"ada/my-suite", subfolder="{place}"' if inside else f'"ada/my-suite-{place}"'
        assert f"from_pretrained(base, {where}" in card and "your-name" not in card
        assert name.split()[0] in card


@pytest.mark.parametrize("layout", ["folders", "repositories"])
def test_only_what_changed_is_sent(hub: HubControl, client: HubClient, suite: Path, layout: str) -> None:
    first = client.must("push", suite, "ada", {"layout": layout})
    hub.log(clear=True)
    again = client.must("push", suite, "ada", {"layout": layout})
    assert not _writes(hub)
    assert again["suite"]["commit"] == first["suite"]["commit"] and not again["suite"]["sent"]
    (suite / "mlp" / "README.md").write_text("---\ntags: [new]\n---\n")
    client.must("push", suite, "ada", {"layout": layout})
    if layout == "folders":
        assert _commits(hub) == [("ada/my-suite", ["mlp/README.md"])]
    else:  # the manifest names the new commit
        assert [sent for _, sent in _commits(hub)] == [["README.md"], ["hf_mtl.json"]]
    assert not [path for path in _writes(hub) if "/lfs" in path]


def test_private_is_for_what_is_made(hub: HubControl, client: HubClient, suite: Path) -> None:
    client.must("push", suite, "ada", {})
    outcome = client.do("push", suite, "ada", {"private": True})
    assert not hub.ask("repos")["ada/my-suite"]["private"]
    assert "private=True is for repositories that are made now; these are public already" in outcome.printed


@pytest.mark.parametrize(
    ("token", "namespace", "error", "message"),
    [
        (None, "ada", "ConfigError", "wants a token for uploads, and none was found"),
        ("hf_unknownSecret", "ada", "ConfigError", "does not know this token"),
        (
            READER,
            "ada",
            "ConfigError",
            "the token of 'ada' may only read. Make a token that may write at https",
        ),
        (FINE_READER, "ada", "ConfigError", "may not write to 'ada/my-suite' (it may write to: nothing)"),
        (FINE_WRITER, "ada", "ConfigError", "may not write to 'ada/my-suite' (it may write to: bell-labs)"),
        ("", "museum", "ConfigError", "'ada' may only read in the organisation 'museum'"),
        (
            "",
            "bell-lab",
            "ConfigError",
            "'bell-lab' does not exist on the Hub; 'ada' may give one of 'ada', 'bell-",
        ),
        ("", "grace", "ConfigError", "the namespace 'grace' is somebody else's"),
    ],
)
def test_who_may_not_push(
    hub: HubControl,
    client: HubClient,
    suite: Path,
    token: str | None,
    namespace: str,
    error: str,
    message: str,
) -> None:
    tokens = {} if token == "" else {"token": token}
    outcome = client.do("push", suite, namespace, {}, **tokens)
    assert outcome.error.startswith(f"{error}: ") and message in outcome.error, outcome.error
    assert "Secret" not in outcome.printed
    assert not _writes(hub)


def test_a_token_that_cannot_be_one(hub: HubControl, client: HubClient, suite: Path) -> None:
    outcome = client.do("push", suite, "ada", {"token": "hf_brokenSecret\n"})
    assert outcome.error.startswith(
        "ConfigError: the token holds a space, a line break or a character that no token"
    )
    assert "Secret" not in outcome.printed and not hub.log()


def test_a_fine_grained_token_that_may_write(hub: HubControl, client: HubClient, suite: Path) -> None:
    assert client.must("push", suite, "bell-labs", {}, token=FINE_WRITER)["suite"]["sent"]


def test_names_that_are_taken(hub: HubControl, client: HubClient, suite: Path) -> None:
    hub.ask("put", {"repo": "ada/my-suite", "files": {"config.json": "{}"}})
    hub.ask("put", {"repo": "ada/my-suite-mlp", "files": {"hf_mtl.json": '{"tasks": {"other": "."}}'}})
    hub.ask("put", {"repo": "ada/my-suite-a-b", "files": {}})
    outcome = client.do("push", suite, "ada", {"layout": "repositories"})
    assert outcome.error.startswith("ConfigError: 2 problems:")
    assert (
        "'ada/my-suite' is taken by something else (it has no 'hf_mtl.json'; it holds 'config.json')"
        in outcome.error
    )
    assert (
        "'ada/my-suite-mlp' is taken by something else (its 'hf_mtl.json' is of other tasks: 'other')"
        in outcome.error
    )
    assert not _writes(hub)


def test_an_adapter_is_no_suite(hub: HubControl, client: HubClient, suite: Path) -> None:
    client.must("push", suite, "ada", {"layout": "repositories"})
    hub.log(clear=True)
    outcome = client.do("push", suite, "ada", {"name": "my-suite-mlp"})
    assert "taken by something else (it is one task's adapter, not a suite)" in outcome.error
    assert not _writes(hub)


def _shorten(suite: Path) -> None:
    file = suite / "mlp" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (_shorten, {}, "adapter 'mlp': .*the adapter cannot be read: "),
        (
            lambda suite: (suite / "q-a" / "adapter_config.json").unlink(),
            {},
            "a PEFT adapter needs 'adapter_config.json' and 'adapter_model.safetensors'; found",
        ),
        (
            lambda suite: None,
            {"name": "a--b"},
            "'ada/a--b' cannot be a name on the Hub: Cannot have -- or ..",
        ),
        (
            lambda suite: None,
            {"layout": "flat"},
            "layout must be one of 'folders', 'repositories', found 'flat'",
        ),
    ],
)
def test_what_cannot_be_pushed(
    hub: HubControl, suite: Path, spoil: Callable[[Path], None], options: dict[str, Any], message: str
) -> None:
    from hf_mtl.errors import HfMtlError
    from hf_mtl.export.hub import push_suite

    spoil(suite)
    with pytest.raises(HfMtlError, match=message):
        push_suite(suite, "ada", **options)  # does not come so far as to ask the Hub


def test_a_card_with_broken_metadata(hub: HubControl, client: HubClient, suite: Path) -> None:
    (suite / "README.md").write_text("---\na: [\n---\n")
    outcome = client.do("push", suite, "ada", {})
    assert "HubError: Uploading to 'ada/my-suite' failed: Invalid metadata in README.md" in outcome.error
    assert not hub.files("ada/my-suite")


def test_the_command(hub: HubControl, client: HubClient, suite: Path) -> None:
    outcome = client.do(
        "command", "push", suite, "--namespace", "ada", "--layout", "repositories", "--private"
    )
    assert not outcome.error, outcome.printed
    assert (
        "ada/my-suite  3 files" in outcome.printed
        and "past tense: ada/my-suite-past-tense" in outcome.printed
    )
    assert hub.ask("repos")["ada/my-suite"]["private"]
