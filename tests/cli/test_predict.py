"""`hf-mtl predict` for tasks of several kinds, one by one and mixed in one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hf_mtl.cli import app

RECIPE = """\
model: {{id: someone/tiny-llama, source: {model}, dtype: float32}}
output_dir: run
defaults: {{adapter: {{r: 4, target_modules: all-linear}}, max_length: 64}}
tasks:
  mood: {{train: words.jsonl, kind: text-classification, labels: [negative, positive]}}
  ranked:
    train: words.jsonl
    kind: label-scoring
    template: {{prompt: "{{text}} is", completion: " {{label}}"}}
    labels: [negative, positive]
  past tense: {{train: verbs.jsonl, template: {{prompt: "{{lemma}}:", completion: " {{past}}"}}}}
  pairs: {{train: verbs.jsonl, template: {{prompt: "{{lemma}} {{past}}", completion: " {{past}}"}}}}
  fixed: {{train: verbs.jsonl, template: {{prompt: "Say:", completion: " {{past}}"}}}}
training: {{max_steps: 1, per_device_train_batch_size: 2, use_cpu: true}}
"""


@pytest.fixture(scope="module")
def run(
    hf_mtl_program: Callable[..., Any],
    tiny_llama: Path,
    tmp_path_factory: pytest.TempPathFactory,
    two_tasks_rows: dict[str, str],
) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for name, text in two_tasks_rows.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE.format(model=tiny_llama), encoding="utf-8")
    done = hf_mtl_program("train", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


def _predict(run: Path, *arguments: str, stdin: str = "") -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["predict", str(run), *arguments], input=stdin)
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_tasks_of_every_kind_and_many_at_once(run: Path) -> None:
    mood = _predict(run, "--task", "mood", "--input", "-", stdin='{"text": "good", "label": 1}\n')
    assert mood[0]["input"] == {"text": "good", "label": 1}
    [best] = mood[0]["prediction"]
    assert best["label"] in ("negative", "positive") and 0.5 <= best["score"] <= 1
    assert _predict(run, "--task", "mood", "--prompt", "good")[0]["prediction"] == [best]
    rows: list[dict[str, Any]] = [
        {"task": "past tense", "input": {"lemma": "walk"}, "options": {"return_full_text": False}},
        {"task": "mood", "input": "good"},
        {"task": "ranked", "input": {"text": "good"}},
        {"task": "past tense", "input": "run:"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    mixed = _predict(run, "--input", "-", "--max-new-tokens", "3", stdin=lines)
    assert [(own["task"], own["input"]) for own in mixed] == [(row["task"], row["input"]) for row in rows]
    alone = _predict(run, "--task", "past tense", "--prompt", "walk", "--max-new-tokens", "3")
    assert alone[0]["prompt"] == "walk:"
    raw = _predict(run, "--task", "past tense", "--prompt", "walk:", "--raw", "--max-new-tokens", "3")
    assert raw == alone
    ranked = _predict(run, "--task", "ranked", "--prompt", "good")
    assert ranked[0]["prediction"] == mixed[2]["prediction"]
    assert mixed[0]["prediction"] == [{"generated_text": alone[0]["prediction"]}]
    assert mixed[1]["prediction"][0]["score"] == pytest.approx(best["score"], abs=1e-5)
    assert sum(label["score"] for label in mixed[2]["prediction"]) == pytest.approx(1)
    assert mixed[3]["prediction"][0]["generated_text"].startswith("run:")


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        (("--prompt", "x"), "", "expected --task NAME with --prompt"),
        (("--input", "-"), '{"task": "mood"}\n', "input 1: expected 'task' and 'input'"),
        (
            ("--input", "-"),
            '{"task": "moods", "input": "a"}\n',
            "there is no task 'moods'. Did you mean 'mood'?",
        ),
        (("--input", "-", "--raw"), "", "--raw is for --prompt TEXT"),
        (("--task", "mood", "--prompt", "x", "--raw"), "", "task 'mood': --raw is for tasks with a template"),
        (
            ("--task", "pairs", "--prompt", "x"),
            "",
            "the prompt '{lemma} {past}' has the fields 'lemma', 'past', and --prompt fills one. Give rows with",
        ),
        (("--task", "fixed", "--prompt", "x"), "", "task 'fixed': the prompt 'Say:' has no field"),
        (("--task", "moods", "--prompt", "x"), "", "has no task 'moods'. Did you mean 'mood'?"),
        (("--input", "-"), '{"task": "mood", "input": 3}\n', "task 'mood', input 1: expected a text"),
    ],
)
def test_mistakes(run: Path, arguments: tuple[str, ...], stdin: str, expected: str) -> None:
    done = CliRunner().invoke(app, ["predict", str(run), *arguments], input=stdin)
    assert done.exit_code == 2
    assert expected in done.stderr
