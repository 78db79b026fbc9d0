"""Files in the formats that people have: from `init` to an answer without a change by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict
from format_files import FORMATS, Content, FormatCase
from kind_bases import CHAT, picture
from rich.console import Console
from transformers import AutoTokenizer
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.recipe import load_recipe, run_recipe

Bases = Callable[[str], Path]

QUICK = ("text and label", "CoNLL-2003", "Alpaca", "splits by name", "ShareGPT", "lines of text")
TWO_ROUNDS = (
    "training.max_steps=2",
    "training.use_cpu=true",
    "training.report_to=none",
    "model.dtype=float32",
)


def write(folder: Path, files: Mapping[str, Content]) -> list[Path]:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if callable(content):
            content(folder / name)
        else:
            (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return [folder / name for name in files]


def run(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="session")
def base_of(bases: Bases, tmp_path_factory: pytest.TempPathFactory) -> Bases:
    """As `bases`, and `chat`: a Llama whose tokenizer has a chat template."""

    def folder(name: str) -> Path:
        if name != "chat":
            return bases(name)
        chat = tmp_path_factory.getbasetemp() / "chat-base"
        if not chat.is_dir():
            shutil.copytree(bases("llama"), chat)
            tokenizer = AutoTokenizer.from_pretrained(chat)
            tokenizer.chat_template = CHAT
            tokenizer.save_pretrained(chat)
        return chat

    return folder


def cases() -> list[object]:
    return [
        pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow], id=name.replace(" ", "-"))
        for name in FORMATS
    ]


@pytest.mark.parametrize("name", cases())
def test_from_files_to_an_answer(name: str, base_of: Bases, tmp_path: Path) -> None:
    case: FormatCase = FORMATS[name]
    files = write(tmp_path, case.files)
    recipe = tmp_path / "recipe.yaml"
    code, out, err = run("init", *files, "--base", base_of(case.base), "--output", recipe)
    assert code == 0, err
    assert out.splitlines()[0] == f"a: {case.line}"
    text = recipe.read_text(encoding="utf-8")
    assert all(line in text for line in (f"# {case.line}", *case.more)), text
    code, out, err = run("validate", recipe)
    assert code == 0, err
    folder = tmp_path / "run"
    report = run_recipe(
        load_recipe(recipe, TWO_ROUNDS, output_dir=str(folder)), Console(quiet=True), measure_before=False
    )
    assert [result.task for result in report.results] == ["a"]
    code, out, err = run(
        "predict", folder, "--task", "a", "--max-new-tokens", "3", *_question(case.ask, tmp_path)
    )
    assert code == 0, err
    (answer,) = map(json.loads, out.splitlines())
    labels = load_recipe(recipe).tasks["a"].labels
    if isinstance(labels, tuple) and isinstance(answer["prediction"][0], dict):
        assert {found.get("label", found.get("entity")) for found in answer["prediction"]} <= set(labels)
    assert answer["prediction"] is not None


def _question(ask: Mapping[str, object] | str, folder: Path) -> list[str]:
    """The arguments that ask it: a whole text as it is, or a row in a file."""
    if isinstance(ask, str):
        return ["--raw", "--prompt", ask]
    picture(1).save(folder / "picture.png")
    row = {
        key: str(folder / "picture.png") if value == "picture.png" else value for key, value in ask.items()
    }
    (folder / "ask.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return ["--input", str(folder / "ask.jsonl")]


@pytest.mark.parametrize("saved", [True, False], ids=["save_to_disk", "images by class"])
def test_a_folder_gives_its_splits(saved: bool, bases: Bases, tmp_path: Path) -> None:
    data = tmp_path / "shapes"
    if saved:
        rows = Dataset.from_dict({"text": ["good", "bad", "fine"], "label": ["x", "y", "x"]})
        DatasetDict({"train": rows, "test": rows}).save_to_disk(data)
    else:
        for split, label, seed in product(("train", "test"), ("round", "square"), range(2)):
            (data / split / label).mkdir(parents=True, exist_ok=True)
            picture(seed).save(data / split / label / f"{seed}.png")
    code, out, err = run(
        "init", data, "--base", bases("llama" if saved else "vit"), "--output", tmp_path / "r.yaml"
    )
    assert code == 0, err
    kind = "text-classification from text" if saved else "image-classification from image"
    assert out.splitlines()[0].startswith(f"shapes: {kind} + label")
    task = load_recipe(tmp_path / "r.yaml").tasks["shapes"]
    assert task.train is not None and task.test is not None
    assert (task.train.source, task.train.split, task.test.split) == (str(data), "train", "test")
