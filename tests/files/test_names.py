"""Task names of every form become folders that collide with nothing: not with each other, nor with a run's files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # offered, without `as`
from rich.console import Console
from two_tasks import VERBS

from hf_mtl.evaluation.page import collect_story, write_page
from hf_mtl.export import Manifest, load_suite
from hf_mtl.export.hub import plan_push
from hf_mtl.files import folder_names, repo_names
from hf_mtl.recipe import load_recipe, run_recipe

# What Windows refuses in a name, or takes for a device whatever follows the dot.
DEVICES = ["CON", "PRN", "AUX", "NUL", "COM0", "COM1", "COM9", "LPT1", "LPT9", "CONIN$", "CONOUT$"]
ODD = (
    "../x", "/etc/passwd", "C:\\Users\\me", "..", ".", "a\0b", "...", "-", " x ", "trailing.", "trailing. . ",
    "😀", "😀😀", "中文", "ärger", "x" * 500, "X" * 500, "y" * 79 + ".z", "q&a", "Q A", "checkpoint", "Checkpoint",
    "_push-1", "tmp-checkpoint-3", "v1.5", "task", "Task-2", "con.fig", "com¹.txt", "LAST-checkpoint", "a.git",
    "a.ipynb", "a..b", "a-b", "suite", "--",
)  # fmt: skip
HUB = (
    "README.md",
    "data.json",
    "hf_mtl.json",
    "checkpoint-2",
    "REPORT",
    "NUL",
    "😀",
    "x" * 500,
    "../x",
    "_push-1",
    "a..b",
    "a-b",
)


def _write(folder: Path, model: Path, names: tuple[str, ...]) -> Path:
    """A recipe whose tasks have these names."""
    rows = [{"lemma": lemma, "past": past} for lemma, past in VERBS.items()]
    (folder / "verbs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    task = {"train": "verbs.jsonl", "template": {"prompt": "{lemma}:", "completion": " {past}"}}
    training = {"max_steps": 2, "save_steps": 1, "save_strategy": "steps", "logging_steps": 1, "learning_rate": 1e-2,
                "use_cpu": True, "report_to": "none", "per_device_train_batch_size": 2}  # fmt: skip
    content = {
        "model": {"id": "someone/tiny-llama", "source": str(model), "dtype": "float32"},
        "output_dir": str(folder / "run"),
        "defaults": {"adapter": {"r": 2, "target_modules": ["q_proj"]}, "max_length": 16},
        "tasks": {name: dict(task) for name in names},
        "training": training,
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return file


def _train(file: Path, resume: str | None = None) -> Path:
    recipe = load_recipe(file)
    run_recipe(recipe, Console(quiet=True), resume=resume, measure_before=False)
    return Path(recipe.output_dir)


@pytest.fixture(scope="module")
def run(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run whose tasks are called like files, with its page."""
    folder = _train(_write(tmp_path_factory.mktemp("names"), tiny_llama, HUB))
    write_page(collect_story(folder), folder / "report")
    return folder


@pytest.fixture(scope="module")
def plain_run(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with an ordinary name."""
    folder = _train(_write(tmp_path_factory.mktemp("plain"), tiny_llama, ("past tense",)))
    write_page(collect_story(folder), folder / "report")
    return folder


def _cases(name: str) -> Iterator[str]:
    yield from (name, name.upper(), name.capitalize(), f" {name}")


def test_no_name_is_that_of_a_file_of_a_run(plain_run: Path) -> None:
    """The list is what a run writes, at any depth, so a new file that no rule covers fails here."""
    written = {path.name for path in plain_run.rglob("*")} - {"past-tense"}
    assert {
        "checkpoint-1",
        "checkpoint.json",
        "hf_mtl.json",
        "index.html",
        "report",
        ".hf_mtl.lock",
    } < written
    taken = {name.lower() for name in written}
    for name in sorted(written):
        for case in _cases(name):
            assert folder_names([case])[case].lower() not in taken, case
    together = folder_names([case for name in written for case in _cases(name)])
    assert not taken & {folder.lower() for folder in together.values()}


def _plain_everywhere(folder: str) -> bool:
    device = folder.split(".")[0].lower() in {name.lower().rstrip("$") for name in DEVICES}
    return (
        bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", folder))
        and folder[-1] not in ".- "
        and not device
    )


@pytest.mark.parametrize("reverse", [False, True])
def test_odd_names(reverse: bool) -> None:
    devices = [name + end for name in DEVICES for end in ("", ".txt", ".tar.gz", " ", ".")]
    names = [*ODD, *HUB, *devices, *(name.lower() for name in devices)]
    folders = folder_names(reversed(names) if reverse else names)
    assert folders.keys() == set(names)
    assert [folder for folder in folders.values() if not _plain_everywhere(folder)] == []
    assert len({folder.lower() for folder in folders.values()}) == len(folders)


def test_numbers_that_set_apart_make_no_name_of_a_run() -> None:
    assert folder_names(["checkpoint", "Checkpoint"]) == {
        "checkpoint": "checkpoint",
        "Checkpoint": "task-Checkpoint-2",
    }
    assert folder_names(["com", "COM"]) == {"com": "com", "COM": "COM-2"}


def test_ordinary_names_stay() -> None:
    names = ["sentiment", "past_tense", "v1.5", "glue.cola", "A-1", "readme", "data", "nullable", "console"]
    assert folder_names(names) == {name: name for name in names}


@pytest.mark.parametrize("suite", ["eight", "s" * 90, "s" * 96, "a.b-c_d"])
def test_repositories(suite: str) -> None:
    repos = repo_names(suite, [*ODD, *HUB])
    assert len({repo.lower() for repo in repos.values()} | {suite.lower()}) == len({*ODD, *HUB}) + 1
    for repo in repos.values():
        validate_repo_id(f"someone/{repo}")


def test_many_names_of_one_form_take_no_time() -> None:
    assert len(set(folder_names("😀" * count for count in range(1, 3000)).values())) == 2999


def test_trained_saved_loaded_and_pushed(run: Path) -> None:
    manifest = Manifest.load(run)
    assert tuple(manifest.tasks) == HUB
    assert load_suite(run).adapter_names == HUB
    assert (run / "README.md").is_file() and (run / "checkpoint-2" / "checkpoint.json").is_file()
    for layout in ("folders", "repositories"):
        plan = plan_push(run, "someone", "s" * 90, layout)
        files = [
            (own.place.repo, file.path) for own in (plan.suite, *plan.adapters.values()) for file in own.files
        ]
        assert len({(repo.lower(), path.lower()) for repo, path in files}) == len(files)
        assert sum(path.endswith("adapter_model.safetensors") for _, path in files) == len(HUB)


def test_resumed(run: Path) -> None:
    weights = _weights(run)
    again = _train(run.parent / "recipe.yaml", resume=str(run / "checkpoint-1"))
    assert again == run and _weights(run) == weights


def _weights(run: Path) -> dict[str, bytes]:
    places = Manifest.load(run).tasks
    return {name: (run / place / "adapter_model.safetensors").read_bytes() for name, place in places.items()}


def test_old_folders_open(run: Path, tmp_path: Path) -> None:
    """The manifest of an older version kept its pairs; they are taken as they are."""
    manifest = Manifest.load(run)
    old = {name: name if name in ("checkpoint-2", "NUL") else place for name, place in manifest.tasks.items()}
    for name, place in manifest.tasks.items():
        target = tmp_path / old[name]
        target.mkdir()
        for file in (run / place).iterdir():
            (target / file.name).write_bytes(file.read_bytes())
    Manifest(manifest.base, old, manifest.heads, manifest.forms).save(tmp_path)
    assert load_suite(tmp_path).adapter_names == HUB
