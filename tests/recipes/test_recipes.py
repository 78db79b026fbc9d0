"""Every folder of `recipes/` keeps to one form, and its script declares the tasks of its YAML. Nothing is trained."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from typer.testing import CliRunner

from hf_mtl import Task
from hf_mtl.cli import app
from hf_mtl.cli.shipped import description, shipped_recipes
from hf_mtl.recipe import build, load_recipe
from hf_mtl.recipe.asset_names import named_assets

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes"
FILES = sorted(RECIPES.glob("*/*.yaml"))
STUDY = ROOT / "benchmarks" / "study" / "recipe.yaml"
FOLDERS = sorted(path.parent for path in RECIPES.glob("*/recipe.yaml"))
DECLARED_BY = {"recipe.yaml": "tasks", "first.yaml": "first_tasks"}  # by file, the function of run.py
SCRIPTS = {"basic.py": 60, "loop.py": 200}


def name_of(path: Path) -> str:
    return path.relative_to(RECIPES).as_posix()


def fetches(path: Path) -> bool:
    """Whether a recipe's rows come out of packages; its model need not be there to declare tasks."""
    tasks = yaml.safe_load(path.read_text(encoding="utf-8"))["tasks"].values()
    return any("asset:" in str(task.get(split)) for task in tasks for split in ("train", "eval", "test"))


def in_front_of(path: Path, folder: Path) -> None:
    """Lay a manifest where the recipe expects a finished run; its content is not looked at when the recipe is read."""
    adapters = yaml.safe_load(path.read_text(encoding="utf-8"))["model"].get("adapters")
    if adapters is not None:
        (folder / adapters).mkdir(parents=True)
        (folder / adapters / "hf_mtl.json").write_text("{}")


def goes_on(path: Path) -> bool:
    """Whether a recipe goes on from the adapters of a finished run, which `validate` opens."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))["model"].get("adapters") is not None


def run_script(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_{folder.name}", folder / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_are_found() -> None:
    assert [folder.name for folder in FOLDERS] == list(shipped_recipes())
    assert {"continual", "few-shot", "generative", "news-and-ner", "nlu", "quickstart", "vision"} == {
        folder.name for folder in FOLDERS
    }


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_first_line_is_the_command(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# hf-mtl train {path.relative_to(ROOT).as_posix()}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_it_is_valid(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    in_front_of(path, tmp_path)
    assert load_recipe(path).output_dir.startswith(f"runs/{path.parent.name}")
    assert load_recipe(path, smoke=True, overrides=["model.adapters=null"]).output_dir.endswith("-smoke")


def changes(path: Path) -> dict[str, list[str]]:
    """What the variants of a recipe change, by name, as the command line would say it."""
    variants = yaml.safe_load(path.read_text(encoding="utf-8")).get("variants", {})
    return {
        name: [f"{key}={json.dumps(value)}" for key, value in own.items()] for name, own in variants.items()
    }


@pytest.mark.parametrize(
    ("path", "variant"),
    [(path, variant) for path in (*FILES, STUDY) for variant in changes(path)],
    ids=lambda value: value.parent.name if isinstance(value, Path) else value,
)
def test_a_variant_is_valid(path: Path, variant: str) -> None:
    base, changed = load_recipe(path), load_recipe(path, changes(path)[variant])
    assert changed != base


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_a_copy_is_valid(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["recipes", "copy", folder.name, "mine"])
    assert done.exit_code == 0, done.stderr
    files = [str(path) for path in sorted(Path("mine").glob("*.yaml")) if not goes_on(path)]
    assert files
    done = CliRunner().invoke(app, ["recipes", "validate", *files])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.count(": valid, tasks ") == len(files)


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_the_readme_says_what_to_expect(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert len(description(folder)) > 20
    for path in folder.glob("*.yaml"):
        assert f"hf-mtl train {path.relative_to(ROOT).as_posix()}" in text
        for asset in named_assets(path):
            assert f"asset:{asset}" in text, asset
    expected = text.partition("## What to expect")[2].partition("\n## ")[0]
    assert re.search(r"\b0\.\d\d", expected), "a figure that was measured"
    assert re.search(r"(\d+ s|\d+ min)\b", expected) and "core" in expected, "how long it takes, and on what"
    assert "## Data" in text and "licence" in text.lower()


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] if fetches(path) else []) for path in FILES],
    ids=name_of,
)
def test_the_script_declares_the_same(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    in_front_of(path, tmp_path)
    wanted = build(load_recipe(path)).suite
    declared = run_script(path.parent).__dict__[DECLARED_BY[path.name]]()
    assert [task.name for task in declared] == list(wanted)
    for task in declared:
        assert told(task) == told(wanted[task.name])
        # What one of the two leaves to the training arguments is not compared.
        own, others = settings(task), settings(wanted[task.name])
        assert {key: own[key] for key in own.keys() & others} == {
            key: others[key] for key in own.keys() & others
        }


def told(task: Task) -> dict[str, object]:
    """What a task says, and its rows."""
    rows = {"train": task.train, "eval": task.eval}
    assert task.adapter is not None
    adapter = {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in task.adapter.to_dict().items()
    }
    return {
        "kind": task.kind,
        "declared": task.declared,
        "metrics": task.metrics,
        "adapter": adapter,
        "rows": {split: None if own is None else (len(own), own[0], own[-1]) for split, own in rows.items()},
    }


def settings(task: Task) -> dict[str, object]:
    lengths = {
        "num_train_epochs": task.num_train_epochs,
        "max_steps": task.max_steps,
        "batch_size": task.batch_size,
    }
    return {**task.settings, **{key: value for key, value in lengths.items() if value is not None}}


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_short_and_name_the_hub(name: str) -> None:
    text = (RECIPES / name).read_text(encoding="utf-8")
    compile(text, name, "exec")
    assert len(text.splitlines()) < SCRIPTS[name]
    assert "sentence-transformers/all-MiniLM-L6-v2" in text
    assert f"python recipes/{name} " in text and "--smoke" in text


def test_the_chats_are_built_as_they_say(tmp_path: Path) -> None:
    """From the quickstart's rows, byte for byte, and with the sums that the README tells."""
    copy = shutil.copytree(RECIPES / "generative", tmp_path / "generative")
    files = sorted((copy / "data").glob("*.jsonl"))
    wanted = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    command = [sys.executable, str(copy / "build_data.py"), str(RECIPES / "quickstart" / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [file.read_bytes() for file in files] == wanted
    assert done.stdout.strip() in (copy / "data" / "README.md").read_text(encoding="utf-8")
