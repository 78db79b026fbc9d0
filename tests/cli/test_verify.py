"""`hf-mtl verify` on a tiny model."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from two_tasks import RECIPE

pytestmark = pytest.mark.slow  # every test starts processes that import torch and peft

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def recipe(two_tasks: Path, tiny_llama: Path) -> Path:
    file = two_tasks / "recipe.yaml"
    file.write_text(RECIPE.format(model=tiny_llama), encoding="utf-8")
    return file


def test_table(hf_mtl_program: Program, recipe: Path) -> None:
    before = set(recipe.parent.rglob("*"))
    done = hf_mtl_program("verify", "recipe.yaml", "--rounds", "3", cwd=recipe.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    for task in ("words", "past tense"):
        (line,) = [line for line in done.stdout.splitlines() if line.strip().startswith(f"{task} ")]
        assert line.split()[-1] == "holds"
        assert len(line.removeprefix(f"  {task}").split()) == 6
    assert done.stdout.rstrip().endswith("Isolation holds for every task.")
    assert done.stderr == ""
    assert set(recipe.parent.rglob("*")) == before


def test_json_and_exact_zeros(hf_mtl_program: Program, recipe: Path) -> None:
    arguments = ("--json", "--rounds", "3", "--set", "training.full_determinism=true")
    done = hf_mtl_program("verify", str(recipe), *arguments, cwd=recipe.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["rounds"], found["dtype"], found["broken"]) == (3, "float32", [])
    assert [figures["task"] for figures in found["tasks"]] == ["words", "past tense"]
    for figures in found["tasks"]:
        assert figures["update"] == figures["drift"] == 0
        assert 0 < figures["update_permuted"] < 1e-4
        assert figures["export"] < 1e-5 < 1e-2 < figures["export_effect"]


def test_a_model_that_changed_on_its_way_is_told(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The base of the export differs from the one before, as when its files are exchanged during the run."""
    import torch
    from typer.testing import CliRunner

    from hf_mtl.cli import app
    from hf_mtl.recipe import verifying

    loads = []

    def load_base(*args: object, **options: object) -> object:
        from hf_mtl.models import load_base as load

        base, identity = load(*args, **options)  # type: ignore[arg-type]
        loads.append(base)
        if len(loads) > 3:  # two tasks alone, and together
            with torch.no_grad():
                base.get_output_embeddings().weight.mul_(1.01)
        return base, identity

    monkeypatch.setattr(verifying, "load_base", load_base)
    done = CliRunner().invoke(app, ["verify", str(recipe), "--rounds", "1"], env=dict(os.environ))
    assert done.exit_code == 1, done.output
    words = " ".join(done.stdout.split())
    assert "words: the exported adapter's logits differ by" in words
    assert "Isolation is broken for words, past tense." in words


@pytest.mark.parametrize(
    ("arguments", "expected"), [(("--set", "modle.id=x"), "modle"), (("--rounds", "0"), "--rounds")]
)
def test_mistakes(hf_mtl_program: Program, recipe: Path, arguments: tuple[str, ...], expected: str) -> None:
    done = hf_mtl_program("verify", "recipe.yaml", *arguments, cwd=recipe.parent)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_tasks_that_share_on_purpose_are_not_verified(hf_mtl_program: Program, recipe: Path) -> None:
    done = hf_mtl_program("verify", "recipe.yaml", "--set", "sharing=shared", cwd=recipe.parent)
    assert done.returncode == 2
    assert "sharing='shared' makes the tasks learn from each other" in " ".join(done.stderr.split())
