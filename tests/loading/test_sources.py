"""What a source means, and which files are fetched for it: from folders, suites, and the Hub's own cache offline."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from peft import LoraConfig
from plain_folders import HUB_ID, answers, routed

from hf_mtl import RoutedModel, TextClassification
from hf_mtl.data import PromptCompletion
from hf_mtl.errors import CheckpointError, SavedAdapterError
from hf_mtl.export import load_suite, save_suite
from hf_mtl.head_shapes import HeadShape
from hf_mtl.heads import HeadSpec
from hf_mtl.models.saved import Source, fetch, parse_source
from hf_mtl.tasks import TaskForm
from hf_mtl.tasks.kinds import Declared

Bases = Callable[[str], Path]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "loading.md"
FILES = ("adapter_config.json", "adapter_model.safetensors", "hf_mtl.json")
COMMIT, OTHER = "a" * 40, "b" * 40
TOKEN = "hf_never_to_be_seen"


def _near(first: torch.Tensor, second: torch.Tensor) -> bool:
    """But for the rounding that a batch with other neighbours brings."""
    return bool((first - second).abs().max() < 1e-6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user/repo", Source(repo="user/repo")),
        ("user/repo@v1.0", Source(repo="user/repo", revision="v1.0")),
        ("user/repo@refs/pr/3", Source(repo="user/repo", revision="refs/pr/3")),
        ("user/suite:qa", Source(repo="user/suite", task="qa")),
        ("user/suite@main:a: b@c", Source(repo="user/suite", revision="main", task="a: b@c")),
    ],
)  # fmt: skip
def test_names_on_the_hub(text: str, expected: Source) -> None:
    assert parse_source(text) == expected and str(expected) == text


def test_a_path_that_exists_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("user/repo", "user/a:b", "user/re@po"):
        (tmp_path / name).mkdir(parents=True)
        assert parse_source(name) == Source(folder=Path(name))
    assert parse_source("user/repo:qa") == Source(folder=Path("user/repo"), task="qa")
    assert parse_source("./user/a:b:c:d") == Source(folder=Path("user/a:b"), task="c:d")
    assert parse_source(tmp_path / "user" / "repo") == Source(folder=tmp_path / "user" / "repo")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("./rums/mine", r"no such folder\..*Give 'user/repo', 'user/repo@revision', 'user/suite:task'"),
        (Path("user/repo"), "no such folder"),
        ("just-a-name", "no such folder"),
        ("a/b/c", "no such folder"),
        ("user/repo@", "nothing after its last '@' or ':'"),
        ("user/repo:", "nothing after its last '@' or ':'"),
        ("../user/repo", "no such folder"),
        ("https://me:secret@huggingface.co/user/repo", "not named by an address"),
    ],
)
def test_what_is_no_source(source: str | Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        parse_source(source)
    assert "secret" not in str(caught.value)


@pytest.fixture(scope="module")
def suite(base: Bases, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two adapters, one with a head, labels and a form."""
    model = routed(base("llama"))
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    model.add_adapter("q&a", config)
    model.add_adapter("mood", config, head=HeadSpec(HeadShape.SEQUENCE, 2))
    model.labels["mood"] = ("bad", "good")
    declared = Declared(labels=("bad", "good"), template=PromptCompletion("{text}", "{label}"))
    model.forms["mood"] = TaskForm(TextClassification(), declared)
    folder = tmp_path_factory.mktemp("suites") / "suite"
    save_suite(model, folder, processor=None)
    return folder


def test_tasks_of_a_suite(base: Bases, suite: Path, tmp_path: Path) -> None:
    model = RoutedModel.from_pretrained(
        base("llama"), {"one": f"{suite}:mood", "two": suite / "q-a", "three": str(suite / "mood")}
    )
    assert model.labels == {"one": ("bad", "good"), "three": ("bad", "good")}
    assert set(model.forms) == {"one", "three"} and model.forms["one"].declared.labels == ("bad", "good")
    assert model.route_head("one") == HeadSpec(HeadShape.SEQUENCE, 2)
    assert _near(answers(model, "one", [5]), answers(model, "three", [5]))
    save_suite(model, tmp_path / "again", processor=None)
    again = load_suite(str(tmp_path / "again"))
    assert again.forms == model.forms and again.labels == model.labels
    with pytest.raises(SavedAdapterError, match=r"is a suite of 'mood', 'q&a'. Name one .*load_suite"):
        model.load_adapter("four", suite)
    with pytest.raises(SavedAdapterError, match="the suite has no task 'moods'.* Did you mean 'mood'"):
        model.load_adapter("four", f"{suite}:moods")
    alone = load_suite(f"{suite}:mood")
    assert alone.adapter_names == ("mood",) and alone.labels == {"mood": ("bad", "good")}
    assert _near(answers(alone, "mood", [5]), answers(model, "one", [5]))
    (tmp_path / "plain").mkdir()
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(suite / "q-a" / file, tmp_path / "plain")
    with pytest.raises(CheckpointError, match=r"plain: there is no hf_mtl.json, so its base is not known"):
        load_suite(f"{tmp_path}:plain")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {"mood": "../../elsewhere"}}, "names folders outside its own"),
        ({"tasks": {"mood": "/etc"}}, "names folders outside its own"),
        ({"tasks": {"mood": "gone"}, "repos": {"mood": "x/y@main"}}, "expected 'user/name@commit'"),
        (
            {"repos": {"mood": "../../etc@" + COMMIT}, "tasks": {"mood": "gone"}},
            "expected 'user/name@commit'",
        ),
        ({"tasks": {"mood": ["a"]}}, r"tasks\.mood: expected text, found \['a'\]"),
        ({"format_version": 99}, "found 99. A newer hf_mtl"),
        (
            {"repos": {"other": "user/other@" + COMMIT}},
            "it has repos of 'other', which are not among its tasks",
        ),
        ({"tasks": None}, "tasks: expected `key: value` lines, found nothing"),
    ],
)
def test_manifests_that_lead_elsewhere(
    suite: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    content = json.loads((suite / "hf_mtl.json").read_text())
    (tmp_path / "hf_mtl.json").write_text(json.dumps(content | changes))
    with pytest.raises(CheckpointError, match=message):
        fetch(parse_source(f"{tmp_path}:mood"))


def test_a_task_cannot_lead_out_of_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="leads out of the suite's folder"):
        fetch(parse_source(f"{tmp_path}:../other"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub's client, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def _put(
    cache: Path, repo: str, commit: str, files: dict[str, Path | None], *, revision: str = "main"
) -> None:
    """A repository in the cache, as the client lays it out; a file that is None is on the Hub only.

    The listing of the repository is there too, by which the client knows what a fetch lacks.
    """
    root = cache / f"models--{repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True, exist_ok=True)
    (root / "refs" / revision).write_text(commit)
    listed = {}
    for number, (name, content) in enumerate(files.items()):
        listed[name] = {"size": 1, "blob_id": f"{number:040x}"}
        if content is not None:
            file = root / "snapshots" / commit / name
            file.parent.mkdir(parents=True, exist_ok=True)
            blob = root / "blobs" / f"{commit[:8]}-{number}"
            blob.parent.mkdir(exist_ok=True)
            blob.write_bytes(content.read_bytes())
            file.symlink_to(blob)
    (root / "trees").mkdir(exist_ok=True)
    (root / "trees" / f"{commit}.json").write_text(json.dumps({"format_version": 1, "files": listed}))


def _files(folder: Path, place: str = "") -> dict[str, Path | None]:
    return {f"{place}{name}": folder / name for name in FILES}


def test_only_the_adapters_own_files_are_asked_for(cache: Path, base: Bases, suite: Path) -> None:
    _put(cache, "user/mood", COMMIT, _files(suite / "mood") | {"README.md": None, "adapter_model.bin": None})
    _put(
        cache, "user/suite", OTHER, revision="v1",
        files={"hf_mtl.json": suite / "hf_mtl.json"} | _files(suite / "q-a", "q-a/")
        | {f"mood/{name}": None for name in FILES} | {"q-a/tokenizer.json": None},
    )  # fmt: skip
    sources = {"a": "user/mood", "b": f"user/mood@{COMMIT}", "c": "user/suite@v1:q&a", "d": f"{suite}:mood"}
    model = RoutedModel.from_pretrained(base("llama"), sources, hub_id=HUB_ID)
    assert _near(answers(model, "a", [5]), answers(model, "d", [5]))
    assert _near(answers(model, "a", [5]), answers(model, "b", [5]))
    assert model.labels["a"] == ("bad", "good") and "c" not in model.labels
    with pytest.raises(
        SavedAdapterError, match=r"user/suite@b+: not in the cache .*HF_HUB_OFFLINE=1"
    ) as caught:
        model.load_adapter("e", "user/suite@v1:mood", token=TOKEN)
    assert TOKEN not in str(caught.value)
    assert model.adapter_names == ("a", "b", "c", "d")


def test_a_suite_of_repositories(cache: Path, base: Bases, suite: Path, tmp_path: Path) -> None:
    manifest = json.loads((suite / "hf_mtl.json").read_text())
    manifest["tasks"] = dict.fromkeys(manifest["tasks"], ".")
    manifest["repos"] = {"mood": f"user/mood@{COMMIT}", "q&a": f"user/qa@{OTHER}"}
    (tmp_path / "linked.json").write_text(json.dumps(manifest))
    _put(cache, "user/mood", COMMIT, _files(suite / "mood"))
    _put(cache, "user/qa", OTHER, _files(suite / "q-a"))
    _put(cache, "user/suite", "c" * 40, {"hf_mtl.json": tmp_path / "linked.json", "README.md": None})
    linked = RoutedModel.from_pretrained(base("llama"), {"own": "user/suite:mood"})
    whole = load_suite("user/suite", base=base("llama"))
    folder = load_suite(suite, base=base("llama"))
    assert whole.adapter_names == ("q&a", "mood") and whole.forms == folder.forms
    assert _near(answers(linked, "own", [5]), answers(folder, "mood", [5]))
    assert _near(answers(whole, "q&a", [1, 5]), answers(folder, "q&a", [1, 5]))


def test_what_the_hub_does_not_give(cache: Path, suite: Path, tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\x80\x04.")
    config = suite / "mood" / FILES[0]
    _put(cache, "user/pickled", COMMIT, {FILES[0]: config, "adapter_model.bin": tmp_path / "x.bin"})
    _put(cache, "user/empty", COMMIT, {"README.md": config})
    for text, message in {
        "user/gone": r"user/gone: not in the cache of this machine, and the Hub cannot be reached",
        "user/pickled": r"user/pickled: the weights are in 'adapter_model.bin' .*Reading a pickle can run any code",
        "user/empty": r"user/empty: a PEFT adapter needs 'adapter_config.json' and .*; found 'README.md'",
        "user/re..po": r"There is no adapter 'user/re..po': no such folder, and no repository can be called so",
    }.items():
        with pytest.raises(CheckpointError, match=message) as caught:
            fetch(parse_source(text), token=TOKEN).check()
        assert TOKEN not in str(caught.value)


def test_patterns_of_a_manifest_are_names(cache: Path, suite: Path, tmp_path: Path) -> None:
    """A folder called `*` must not fetch the whole repository."""
    manifest = json.loads((suite / "hf_mtl.json").read_text())
    manifest["tasks"] = {"mood": "*"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    files = {"hf_mtl.json": tmp_path / "manifest.json", **{f"large/{name}": None for name in FILES}}
    _put(cache, "user/suite", COMMIT, files)
    with pytest.raises(CheckpointError, match="a PEFT adapter needs"):
        fetch(parse_source("user/suite:mood")).check()


def test_the_page_runs(
    cache: Path, base: Bases, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(suite / "q-a", tmp_path / "ner")
    (tmp_path / "suite").mkdir()
    shutil.copytree(suite / "mood", tmp_path / "suite" / "tags")
    _put(cache, "user/sentiment", COMMIT, _files(suite / "mood"))
    _put(cache, "user/topics", COMMIT, _files(suite / "q-a"), revision="v1.0")
    _put(cache, "user/suite", COMMIT, _files(suite / "q-a", "qa/"))
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(block.replace("HuggingFaceTB/SmolLM2-135M-Instruct", str(base("llama"))), names)
    assert names["model"].adapter_names == ("sentiment", "qa", "ner", "tags")
    assert set(names["model"].labels) == {"sentiment", "tags"}
