"""Names, labels, rows and files that hold what a terminal acts on, through the verbs: nothing of it arrives there."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from outside_texts import raw_in
from typer.testing import CliRunner, Result

from hf_mtl.cli import app

ROOT = Path(__file__).resolve().parents[2]
ACTS = "\x1b[2J\x9b\u202e\x07\x08\r[bold]"
FILE, RUN = "w\x1b[2J\u202e.jsonl", "run\x1b[2J\u202e"
RECIPE = r"""
model: {id: someone/tiny-llama, source: model, dtype: float32}
output_dir: "run\e[2J\u202e"
defaults: {adapter: {r: 4, target_modules: all-linear}, max_length: 64}
tasks:
  "[bold]$x_$ <b>":
    train: &rows "w\e[2J\u202e.jsonl"
    eval: *rows
    kind: text-classification
    columns: {text: "te\e\u202ext", label: "la\x9b"}
    labels: &labels ["\e[2J\x9b\u202e\a\b\r[bold]", "$a_{$"]
    metrics: [accuracy, f1]
  "[red]writes":
    train: *rows
    eval: *rows
    template: {prompt: "{text}\e[2J is", completion: " {label}"}
    labels: *labels
    metrics: [exact_match, accuracy]
training: {max_steps: 2, per_device_train_batch_size: 3, logging_steps: 1, use_cpu: true}
"""
# What rich itself sends to a terminal: colours, and the redrawing of its bar.
_OF_RICH = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[hl]|2K|[0-9]+A)|\r")


@pytest.fixture
def folder(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [
        {"te\x1b\u202ext": f"{n} {ACTS}", "la\x9b": label, "text": f"{n} {ACTS}", "label": label}
        for n, label in enumerate([ACTS, "$a_{$"] * 3)
    ]
    (tmp_path / FILE).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "model").symlink_to(tiny_llama)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    done = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, list(arguments))
    assert done.exit_code == code, done.stderr
    assert not raw_in(done.stdout) and not raw_in(done.stderr)
    return done


def in_a_terminal(*arguments: str, cwd: Path) -> tuple[int, str]:
    """The exit code and what a terminal gets, without what rich itself sends."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cwd)
        shown = {"TERM": "xterm-256color", "COLUMNS": "200", "LINES": "50", "PYTHONPATH": str(ROOT)}
        os.execve(sys.executable, [sys.executable, "-m", "hf_mtl", *arguments], {**os.environ, **shown})
    received = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        received += part
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert b"\x1b[" in received  # rich took it for a terminal
    return os.waitstatus_to_exitcode(status), _OF_RICH.sub("", received.decode("utf-8"))


def test_before_training(folder: Path) -> None:
    assert "[bold]$x_$ <b>, [red]writes" in run("validate", "recipe.yaml").stdout
    shown = run("preview", "recipe.yaml").stdout
    assert "→ ␛[2J\\x9b\\u202e␇␈␍[bold]" in shown and "[red]writes  causal-lm" in shown
    run("preview", "recipe.yaml", "--html", "page.html")
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert not raw_in(page) and "[bold]$x_$ &lt;b&gt;" in page


def test_mistakes(folder: Path) -> None:
    for old, new in (
        ("labels: *labels", 'labels: ["\\e[2J", "b"]'),
        ('"[red]writes"', '"wri\\etes\\u202e"'),
        ("{text}", "{te\\ext}"),
        ("someone/tiny-llama", '"some\\eone/\\x9b"'),
        ("exact_match", '"exact\\u202e_match"'),
    ):
        text = RECIPE.replace(old, new)
        assert text != RECIPE
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        run("validate", "recipe.yaml", code=2)
    run("validate", "no\x1b[2J\u202e.yaml", code=2)
    run("predict", RUN, "--task", "\x1b[2J", "--prompt", "x", code=2)


def test_in_a_terminal(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(
        RECIPE.replace("labels: *labels", 'labels: ["\\e[2J"]'), encoding="utf-8"
    )
    code, shown = in_a_terminal("validate", "recipe.yaml", cwd=folder)
    assert code == 2 and not raw_in(shown) and "ConfigError: " in shown and "\\x1b[2J" in shown


@pytest.mark.slow
def test_a_whole_run(folder: Path, hf_mtl_program: Callable[..., object]) -> None:
    code, shown = in_a_terminal("train", "recipe.yaml", cwd=folder)
    assert code == 0, shown
    assert not raw_in(shown) and "[bold]$x_$ <b>" in shown
    run("evaluate", RUN, "--transfer")
    run("report", RUN)
    run("relations", RUN)
    run("push", RUN, "--namespace", "ada", "--dry-run")
    answered = run("predict", RUN, "--task", "[red]writes", "--prompt", ACTS)
    assert ACTS in json.loads(answered.stdout)["prompt"]
    answered = run("predict", RUN, "--task", "[bold]$x_$ <b>", "--input", FILE)
    assert {row["prediction"][0]["label"] for row in map(json.loads, answered.stdout.splitlines())} <= {
        ACTS,
        "$a_{$",
    }
    texts = [
        path
        for path in (folder / RUN).rglob("*")
        if path.suffix in (".md", ".html") or path.name == "report.json"
    ]
    assert len(texts) == 5  # three cards, the report's page and its numbers
    for path in texts:
        assert not raw_in(path.read_bytes()), path
