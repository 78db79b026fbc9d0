"""`hf-mtl preview` and `hf-mtl validate` on a base whose weights are not there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.cli.preview_text import print_previews
from hf_mtl.recipe import load_recipe
from hf_mtl.recipe.previewing import preview_recipe

Program = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(__file__).resolve().parents[2]
RECIPE = """\
model: {id: someone/tiny-llama, source: model}
output_dir: run
defaults: {adapter: {r: 4, target_modules: all-linear}, max_length: 24}
tasks:
  words:
    train: words.jsonl
    template: {prompt: "{text}\\nis", completion: " {label}"}
  mood: {train: words.jsonl, kind: text-classification, labels: [negative, positive]}
  "<b>tags": {train: tags.jsonl, kind: token-classification, labels: [O, PER]}
training: {max_steps: 1, use_cpu: true}
"""
EVIL = "<script>alert(1)</script>"
WORDS = [
    {"text": "good", "label": "positive"},
    {"text": "bad \N{ESCAPE}[2J[red]", "label": "negative"},
    {"text": "a 👩 b", "label": "positive"},
    {"text": "very " * 9, "label": "negative"},
]
TAGS = [{"tokens": ["Ann", EVIL], "tags": ["PER", "O"]}]


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path) -> Path:
    """A recipe with its rows; of the base only what is no weight."""
    shutil.copytree(tiny_llama, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    _write(tmp_path / "words.jsonl", WORDS)
    _write(tmp_path / "tags.jsonl", TAGS)
    return tmp_path


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_in_a_terminal_without_colours(folder: Path, hf_mtl_program: Program) -> None:
    done = hf_mtl_program("preview", "recipe.yaml", "--task", "words", "--rows", "4", cwd=folder)
    assert done.returncode == 1  # the last row is refused
    lines = done.stdout.splitlines()
    assert "    good⏎" in lines and "    is⟦ positive<|end|>⟧" in lines, done.stderr
    assert "    a 👩 b⏎" in lines
    assert "    bad ␛[2J[red]⏎" in lines and "\N{ESCAPE}" not in done.stdout
    [refused] = [line for line in lines if "row 3: refused" in line]
    assert "max_length=24" in refused
    assert "mood" not in done.stdout


def test_labels_and_other_tasks(folder: Path) -> None:
    done = CliRunner().invoke(app, ["preview", str(folder / "recipe.yaml"), "--rows", "1"])
    assert done.exit_code == 0, done.output
    assert "→ positive" in done.stdout
    assert "‹PER›" in done.stdout and "<b>tags" in done.stdout
    assert list(folder.glob("run*")) == []


def test_colours_where_there_are_any(folder: Path) -> None:
    previews = preview_recipe(load_recipe(folder / "recipe.yaml"), ["words"], rows=1)
    console = Console(force_terminal=True, color_system="standard", width=100, _environ={})
    with console.capture() as captured:
        print_previews(previews, console)
    text = captured.get()
    assert "⟦" not in text and "\N{ESCAPE}[1;30;42mpositive" in text


class _Page(HTMLParser):
    """The tags and the text of a page, with those parts that are learned."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.learned, self.text, self._open = "", "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open = (
            tag == "span" and "learned" in (dict(attrs).get("class") or "").split() and "title" in dict(attrs)
        )

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        self.text += data
        self.learned += data if self._open else ""


def test_as_a_page(folder: Path) -> None:
    path = folder / "out" / "page.html"
    done = CliRunner().invoke(
        app, ["preview", str(folder / "recipe.yaml"), "--html", str(path), "--rows", "2"]
    )
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{path}\n"
    page = _Page(path.read_text(encoding="utf-8"))
    assert page.learned == " positive<|end|> negative<|end|>"
    assert EVIL in page.text and "<b>tags" in page.text and "script" not in page.tags and "b" not in page.tags
    assert {"http", "https"}.isdisjoint(page.tags) and "\N{ESCAPE}" not in page.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "wrods"), "the recipe has no task 'wrods'. Did you mean 'words'?"),
        (("--set", "tasks.mood.kind=seq2seq-lm"), "template is missing"),
        (("--set", "tasks.words.kind=seq2seq-lm"), "tasks.words.kind: seq2seq-lm needs an encoder-decoder"),
    ],
)
def test_mistakes(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    done = CliRunner().invoke(app, ["preview", str(folder / "recipe.yaml"), *arguments])
    assert done.exit_code == 2
    assert message in done.stderr


def test_validate_reads_rows_as_training_does(folder: Path) -> None:
    """Each problem is the one that training raises, and no weight is read."""
    _write(folder / "tags.jsonl", [*(TAGS * 30), {"tokens": ["a"], "tags": ["LOC"]}])
    for verb in (("validate",), ("recipes", "validate")):
        done = CliRunner().invoke(app, [*verb, str(folder / "recipe.yaml")])
        assert done.exit_code == 2 and done.stdout == ""
    place = f"row 3 of {folder / 'words.jsonl'}"
    assert f"recipe.yaml: task 'words', train, {place}: the row has " in done.stderr
    place = f"task '<b>tags', train, row 30 of {folder / 'tags.jsonl'}"
    assert f"{place}: the tag of word 0 ('a') 'LOC' is not one of the labels ['O', 'PER']." in done.stderr


def test_validate_says_what_it_read(folder: Path) -> None:
    _write(folder / "words.jsonl", WORDS[:3])
    done = CliRunner().invoke(app, ["validate", str(folder / "recipe.yaml")])
    assert done.exit_code == 0, done.output
    assert done.stdout.endswith("valid, tasks words, mood, <b>tags, 7 rows tokenised\n")


def test_validate_says_what_it_could_not_read(folder: Path) -> None:
    text = RECIPE.replace("model: {id: someone/tiny-llama, source: model}", "model: {id: someone/not-here}")
    (folder / "recipe.yaml").write_text(text, encoding="utf-8")
    done = CliRunner().invoke(app, ["validate", str(folder / "recipe.yaml")])
    assert done.exit_code == 0, done.output
    assert "no row was tokenised: the tokenizer of someone/not-here is on the Hub." in done.stdout
    assert "rows tokenised" not in done.stdout


def test_validate_imports_neither_trackers_nor_plots(folder: Path) -> None:
    """torch, transformers and peft come with the classes that are asked; what only a run uses must not."""
    _write(folder / "words.jsonl", WORDS[:3])
    heavy = ("wandb", "trackio", "tensorboard", "matplotlib", "evaluate", "torchvision", "torchjd")
    code = (
        "import sys\nfrom hf_mtl.cli import app\n"
        f"app(['validate', {str(folder / 'recipe.yaml')!r}], standalone_mode=False)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


def test_rows_on_the_hub_are_not_fetched(folder: Path) -> None:
    done = CliRunner().invoke(
        app, ["validate", str(_changed(folder, "train: tags.jsonl", "train: someone/not-here"))]
    )
    assert done.exit_code == 0, done.output
    assert "'<b>tags', train: someone/not-here is not on this machine" in done.stdout


def _changed(folder: Path, old: str, new: str) -> Path:
    _write(folder / "words.jsonl", WORDS[:3])
    path = folder / "recipe.yaml"
    assert old in RECIPE
    path.write_text(RECIPE.replace(old, new), encoding="utf-8")
    return path
