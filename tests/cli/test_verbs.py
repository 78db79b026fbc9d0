"""The verbs and their flags, how fast they explain themselves, and what happens to mistakes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import hf_mtl
from hf_mtl.cli import app

Program = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[2]
FLAGS = {
    (): {"--traceback", "--version", "--install-completion", "--show-completion", "--help"},
    ("init",): {"FILE...", "--base", "--output", "--force", "--help"},
    ("validate",): {"RECIPE...", "--resume", "--help"},
    ("preview",): {"RECIPE", "--task", "--rows", "--html", "--set", "--help"},
    ("train",): {"RECIPE", "--smoke", "--set", "--resume", "--output-dir", "--help"},
    ("evaluate",): {"RUN_OR_RECIPE", "--transfer", "--help"},
    ("compare",): {"RECIPE", "--set", "--seed", "--output-dir", "--smoke", "--help"},
    ("predict",): {"RUN", "--task", "--input", "--prompt", "--raw", "--output", "--max-new-tokens", "--help"},
    ("push",): {"RUN", "--namespace", "--name", "--layout", "--private", "--dry-run", "--help"},
    ("report",): {"RUN", "--output", "--help"},
    ("relations",): {"RUN", "--by", "--tau", "--output", "--help"},
    ("verify",): {"RECIPE", "--set", "--rounds", "--json", "--help"},
    ("recipes",): {"--help"},
    ("recipes", "list"): {"--help"},
    ("recipes", "copy"): {"NAME", "DEST", "--help"},
    ("recipes", "fetch"): {"NAME...", "--help"},
    ("recipes", "validate"): {"RECIPE...", "--resume", "--help"},
}
MAX_SECONDS = 1.0


def flags() -> dict[tuple[str, ...], set[str]]:
    found: dict[tuple[str, ...], set[str]] = {}
    pending: list[tuple[tuple[str, ...], Any]] = [((), typer.main.get_command(app))]
    while pending:
        path, command = pending.pop()
        options = {
            option for parameter in command.params for option in parameter.opts if option.startswith("-")
        }
        arguments = {p.metavar for p in command.params if p.param_type_name == "argument"}
        found[path] = {*options, *arguments, "--help"}
        pending += [((*path, name), inner) for name, inner in getattr(command, "commands", {}).items()]
    return found


def test_verbs_and_flags() -> None:
    assert flags() == FLAGS


@pytest.mark.parametrize("verb", FLAGS, ids=" ".join)
def test_help_answers_at_once(hf_mtl_program: Program, verb: tuple[str, ...]) -> None:
    """In processor time, which other processes on the machine do not lengthen."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = hf_mtl_program(*verb, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < MAX_SECONDS


def test_nothing_heavy_is_imported() -> None:
    heavy = ("torch", "transformers", "peft", "datasets", "pydantic", "yaml")
    code = f"import sys, hf_mtl.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_list_copy_validate(hf_mtl_program: Program, tmp_path: Path) -> None:
    assert "\nquickstart " in hf_mtl_program("recipes", "list").stdout
    done = hf_mtl_program("recipes", "copy", "quickstart", "mine", cwd=tmp_path)
    assert done.stdout.strip() == f"hf-mtl train {Path('mine') / 'recipe.yaml'}", done.stderr
    done = hf_mtl_program("recipes", "validate", "mine/recipe.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "mine/recipe.yaml: valid, tasks sentiment, supersense, past tense, part of speech"
    )


@pytest.mark.slow  # it starts processes that import torch and peft
def test_fetch_gets_what_recipes_name(
    hf_mtl_program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model that is made here needs no network, so it can stand for the others."""
    monkeypatch.setenv("HF_MTL_CACHE", str(tmp_path / "cache"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model: {source: asset:vit-tiny}\ntasks: {a: {train: [{source: asset:vit-tiny}]}}\n")
    first, second = (hf_mtl_program("recipes", "fetch", recipe) for _ in range(2))
    folder = tmp_path / "cache" / "assets" / "vit-tiny"
    assert first.stdout == second.stdout == f"vit-tiny: {folder}\n", first.stderr
    assert "vit-tiny is ready" in first.stderr
    assert second.stderr == ""
    assert (folder / "config.json").is_file()


@pytest.mark.slow  # it starts processes that import torch and peft
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quickstrat", "there is no recipe 'quickstrat'. Did you mean 'quickstart'?"),
        ("recipe.yaml", "recipe.yaml:2 tasks.a.train: unknown asset 'conll2004'. Did you mean 'conll2003'?"),
    ],
)
def test_fetch_mistakes(name: str, message: str, hf_mtl_program: Program, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(
        "model: {source: asset:minilm}\ntasks: {a: {train: asset:conll2004}}\n"
    )
    done = hf_mtl_program("recipes", "fetch", name, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_copy_overwrites_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["recipes", "copy", "quickstart", str(tmp_path)])
    assert done.exit_code == 2
    assert "expected the name of a folder to create" in done.stderr


def test_unknown_recipe(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["recipes", "copy", "quickstrat", str(tmp_path / "new")])
    assert done.exit_code == 2
    assert "Did you mean 'quickstart'?" in done.stderr


def test_mistake_is_told_without_a_traceback(hf_mtl_program: Program, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("modle: {}\n", encoding="utf-8")
    done = hf_mtl_program("train", "recipe.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ConfigError: 4 problems:\n")
    assert "recipe.yaml:1 modle: unknown key 'modle'. Did you mean 'model'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_traceback_on_demand(hf_mtl_program: Program, tmp_path: Path) -> None:
    done = hf_mtl_program("--traceback", "recipes", "copy", "nothing", "new", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="elsewhere os.kill ends a process without asking it")
def test_interrupt() -> None:
    code = (
        # A process that is started in the background begins with interrupts ignored.
        "import os, signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from hf_mtl.cli import main\nfrom hf_mtl.cli import recipes\n"
        "recipes.shipped_recipes = lambda: os.kill(os.getpid(), signal.SIGINT)\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "recipes", "list"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr.strip() == "Interrupted."


def test_version_imports_no_package_that_it_names(hf_mtl_program: Program) -> None:
    import peft
    import torch
    import transformers

    done = hf_mtl_program("--version")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[0] == f"hf_mtl {hf_mtl.__version__}"
    named = dict(line.split(maxsplit=1) for line in lines)
    assert named["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert named["transformers"] == transformers.__version__ and named["peft"] == peft.__version__
    code = (
        "import sys\nfrom hf_mtl.cli import app\n"
        "app(['--version'], standalone_mode=False)\n"
        "print([name for name in ('torch', 'transformers', 'peft', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hf-mtl pre", ["preview", "predict"]),
        ("hf-mtl recipes copy quick", ["quickstart"]),
        ("hf-mtl preview recipe.yaml --task w", ["words"]),
        ("hf-mtl preview recipe.yaml --task ", ["words", "past tense"]),
        ("hf-mtl preview broken.yaml --task ", []),
        ("hf-mtl predict run --task p", ["past tense"]),
        ("hf-mtl predict nowhere --task p", []),
    ],
)
def test_the_shell_is_offered_names(
    hf_mtl_program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, offered: list[str]
) -> None:
    """As the script of `--show-completion bash` asks for them."""
    (tmp_path / "recipe.yaml").write_text("tasks: {words: {}, past tense: {}}\n", encoding="utf-8")
    (tmp_path / "broken.yaml").write_text("tasks: {\n", encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "hf_mtl.json").write_text('{"tasks": {"words": "w", "past tense": "p"}}')
    words = line.split()
    monkeypatch.setenv("_HF_MTL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) if line.endswith(" ") else len(words) - 1))
    done = hf_mtl_program(cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.split("\n")[: len(offered)] == offered
    assert len(done.stdout.split()) == sum(len(name.split()) for name in offered)


def test_a_script_of_completion_is_shown(hf_mtl_program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = hf_mtl_program("--show-completion", "bash")
    assert done.returncode == 0 and "_HF_MTL_COMPLETE=complete_bash" in done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [[], ["--input", "-", "--prompt", "x"]])
def test_predict_wants_one_source(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["predict", "run", "--task", "words", *arguments])
    assert done.exit_code == 2
    assert "found both or neither" in done.stderr
