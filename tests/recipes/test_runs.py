"""Every recipe and both scripts on their real models and rows, for two rounds, as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.data import resolve_asset
from hf_mtl.evaluation import Report
from hf_mtl.export import Manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes"
ELSEWHERE = {"quickstart"}  # test_quickstart.py runs it for longer
NAMES = sorted({path.parent.name for path in RECIPES.glob("*/recipe.yaml")} - ELSEWHERE)
SCRIPTS = ("basic", "loop")
Ran = Callable[[str], Path]


def process(folder: Path, *command: str | Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def in_order(folder: Path) -> list[Path]:
    """A recipe's files, those first that start from nothing."""
    return sorted(folder.glob("*.yaml"), key=lambda path: "adapters" in settings(path)["model"])


def settings(path: Path) -> dict[str, dict[str, str]]:
    content: dict[str, dict[str, str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The folder in which a recipe was tried, by the recipe's name; each is run once."""

    @cache
    def run(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for path in in_order(RECIPES / name):
            process(folder, "-m", "hf_mtl", "train", path, "--smoke")
        return folder

    return run


def figures(path: Path) -> dict[str, dict[str, float | None]]:
    return {
        result.task: {score.metric: score.after for score in result.scores}
        for result in Report.load(path).results
    }


@pytest.mark.parametrize("name", NAMES)
def test_evaluate_gives_the_figures_of_training(name: str, ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ran(name)
    monkeypatch.chdir(folder)
    run = folder / f"{settings(RECIPES / name / 'recipe.yaml')['output_dir']}-smoke"
    done = CliRunner().invoke(app, ["evaluate", str(run)])
    assert done.exit_code == 0, done.output
    assert "{'" not in done.stdout
    again, first = figures(run / "evaluation.json"), figures(run / "report.json")
    assert again.keys() == first.keys()
    for task in first:
        assert again[task] == pytest.approx(first[task], rel=1e-5), task


@pytest.mark.parametrize("name", NAMES)
def test_every_folder_loads_with_plain_peft(name: str, ran: Ran) -> None:
    folder = ran(name) / f"{settings(RECIPES / name / 'recipe.yaml')['output_dir']}-smoke"
    source = settings(RECIPES / name / "recipe.yaml")["model"]["source"]
    check_folders(folder, source.removeprefix("asset:"))


def check_folders(folder: Path, asset: str) -> None:
    manifest = Manifest.load(folder)
    loaded: dict[tuple[str, int], PeftModel] = {}
    for task, place in manifest.tasks.items():
        head = manifest.heads.get(task)
        form = ("AutoModelForCausalLM", 0) if head is None else (head.auto_class, head.spec.outputs)
        if form not in loaded:
            options = {} if head is None else {"num_labels": head.spec.outputs}
            auto = getattr(transformers, form[0])
            base = auto.from_pretrained(resolve_asset(asset), dtype=torch.float32, **options)
            loaded[form] = PeftModel.from_pretrained(base, folder / place, adapter_name=task)
        else:
            loaded[form].load_adapter(folder / place, adapter_name=task)
        adapted, filed = loaded[form], load_file(folder / place / "adapter_model.safetensors")
        held = get_peft_model_state_dict(adapted, adapter_name=task, save_embedding_layers=False)
        assert held.keys() == filed.keys(), task
        assert all(torch.equal(held[key], filed[key]) for key in filed), task
        named = manifest.base.hub_id or str(resolve_asset(asset))
        assert adapted.peft_config[task].base_model_name_or_path == named


def test_a_task_added_later_leaves_the_finished_ones_alone(ran: Ran) -> None:
    """To the digit, and to the byte on the disk."""
    runs = ran("continual") / "runs"
    first, second = runs / "continual-first-smoke", runs / "continual-smoke"
    old, now = figures(first / "report.json"), figures(second / "report.json")
    assert set(now) - set(old) == {"supersense"} and old
    before = {
        r.task: {s.metric: s.before for s in r.scores} for r in Report.load(second / "report.json").results
    }
    for task in old:
        assert now[task] == before[task] == old[task]
        places = [folder / Manifest.load(folder).tasks[task] for folder in (first, second)]
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            own, again = ((place / name).read_bytes() for place in places)
            assert own == again
    assert now["supersense"] != before["supersense"]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    for name in SCRIPTS:
        process(folder, RECIPES / f"{name}.py", "--smoke")
    return folder / "runs"


def test_the_loop_ends_with_the_weights_of_the_trainer(scripts: Path) -> None:
    basic, loop = (json.loads((scripts / f"{name}-smoke" / "hf_mtl.json").read_text()) for name in SCRIPTS)
    assert basic == loop and len(basic["tasks"]) == 3
    for place in basic["tasks"].values():
        ours, theirs = (
            load_file(scripts / f"{name}-smoke" / place / "adapter_model.safetensors") for name in SCRIPTS
        )
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            assert float((tensor - theirs[key]).norm() / tensor.norm()) < 1e-4, key  # measured: up to 1.7e-5


def test_the_folders_of_a_script_load_with_plain_peft(scripts: Path) -> None:
    check_folders(scripts / "basic-smoke", "minilm")
