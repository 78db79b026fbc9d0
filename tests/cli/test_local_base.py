"""A base that is only a folder of this machine: `model: ./folder` alone, and what is written loads as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from two_tasks import RECIPE

pytestmark = pytest.mark.slow  # it starts processes that import torch and peft

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def trained(
    hf_mtl_program: Program,
    tiny_llama: Path,
    tmp_path_factory: pytest.TempPathFactory,
    two_tasks_rows: dict[str, str],
) -> tuple[Path, str]:
    """The folder of a recipe whose `model` is a path alone, and what its run printed."""
    folder = tmp_path_factory.mktemp("local")
    for name, text in two_tasks_rows.items():
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copytree(tiny_llama, folder / "base")
    recipe = re.sub(r"model: .*", "model: ./base", RECIPE.format(model="x"), count=1)
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    done = hf_mtl_program("train", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "no Hub id" not in done.stderr
    return folder, done.stdout


def _run(code: str, cwd: Path) -> str:
    """What Python code prints in a process that knows nothing of hf_mtl's tests."""
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_adapters_and_the_report_name_the_folder(trained: tuple[Path, str]) -> None:
    folder, printed = trained
    for task in ("words", "past-tense"):
        config = json.loads((folder / "runs/tiny" / task / "adapter_config.json").read_text(encoding="utf-8"))
        assert config["base_model_name_or_path"] == str(folder / "base")
    assert printed.startswith(f"{folder / 'base'} in float32 on cpu")
    report = json.loads((folder / "runs/tiny/report.json").read_text(encoding="utf-8"))
    assert report["model"]["base"] == str(folder / "base")


def _python_of(card: Path) -> tuple[str, str]:
    """The code of a card: with plain PEFT, and with hf_mtl."""
    text = card.read_text(encoding="utf-8")
    assert "your-name" not in text and "path/to" not in text
    assert "base_model:" not in text.partition("\n---\n")[0]  # the Hub's tag is for its own models
    blocks = [own.content for own in MarkdownIt().parse(text) if own.type == "fence" and own.info == "python"]
    plain, ours = sorted(blocks, key=lambda block: "hf_mtl" in block)
    assert "hf_mtl" not in plain
    return plain, ours


def test_what_is_printed_and_written_on_the_cards_runs_as_it_stands(
    trained: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, printed = trained
    lines = printed.partition("Load an adapter with plain peft:\n")[2].splitlines()
    from_terminal = "\n".join(line.strip() for line in lines)
    cards = [_python_of(folder / "runs/tiny" / place / "README.md") for place in ("words", ".")]
    # A process of its own: the terminal's lines where the run was, the cards' code anywhere.
    total = "print(float(sum(p.abs().sum() for n, p in model.named_parameters() if 'lora_B' in n)))"
    elsewhere = f"import os; os.chdir({str(tmp_path)!r})"
    code = "\n".join(
        [from_terminal, total, elsewhere, *(part for plain, _ in cards for part in (plain, total))]
    )
    said = _run(code, folder)
    assert [float(line) > 0 for line in said.splitlines() if line[:1].isdigit()].count(True) >= 3
    for _, ours in cards:
        capsys.readouterr()
        exec(compile(ours, "card", "exec"), {})
        assert "generated_text" in capsys.readouterr().out
