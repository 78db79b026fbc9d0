"""`hf-mtl predict` for tasks of several kinds, one by one and mixed in one file."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from bounded import bounded
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.cli.arriving import Arriving
from hf_mtl.cli.json_lines import JsonLines
from hf_mtl.errors import DataError

ROOT = Path(__file__).resolve().parents[2]

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
        (("--input", "-"), '{"task": "mood"}\n', "input 1 (stdin, line 1): expected 'task' and 'input'"),
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
        (
            ("--input", "-"),
            '{"task": "mood", "input": 3}\n',
            "task 'mood', input 1 (stdin, line 1): expected a text",
        ),
    ],
)
def test_mistakes(run: Path, arguments: tuple[str, ...], stdin: str, expected: str) -> None:
    done = CliRunner().invoke(app, ["predict", str(run), *arguments], input=stdin)
    assert done.exit_code == 2
    assert expected in done.stderr


def test_answers_come_while_the_pipe_is_open(run: Path) -> None:
    """One line in, one answer out, again and again; with a broken line what came before it stays."""
    command = [sys.executable, "-m", "hf_mtl", "predict", str(run), "--task", "mood", "--input", "-"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        for text in ("good", "bad", "\u2028 so so"):
            process.stdin.write(json.dumps({"text": text}, ensure_ascii=False) + "\n\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["input"] == {"text": text}
        process.stdin.write("{broken\n")
        process.stdin.flush()  # and the pipe stays open
        assert process.stdout.read() == ""
        told = process.stderr.read()
        assert process.wait() == 2
    assert "stdin, line 7: not valid JSON" in told and "Fatal" not in told and "Traceback" not in told


WORDS = [f"word{number}" for number in range(40)]


def _written(file: Path, texts: Sequence[str], *, broken: Sequence[int] = ()) -> Path:
    """Rows of `past tense` behind a blank line; those at the places `broken` lack the column."""
    rows = [{"lemma" if place not in broken else "lema": text} for place, text in enumerate(texts)]
    file.write_text("\n" + "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def _call(run: Path, rows: Path, output: Path, *more: str) -> Any:
    arguments = ["--task", "past tense", "--input", str(rows), "--output", str(output), *more]
    return CliRunner().invoke(app, ["predict", str(run), "--max-new-tokens", "2", *arguments])


def test_a_stopped_call_goes_on_behind_its_answers(run: Path, tmp_path: Path) -> None:
    rows, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    partial = tmp_path / "out.jsonl.partial"
    assert _call(run, _written(rows, WORDS), tmp_path / "whole.jsonl").exit_code == 0
    output.write_text("of an earlier run\n", encoding="utf-8")
    stopped = _call(run, _written(rows, WORDS, broken=[19, 30]), output)
    assert stopped.exit_code == 2
    assert "2 of 24 inputs cannot be used" in stopped.stderr
    assert f"task 'past tense', input 20 ({rows}, line 21): " in stopped.stderr
    assert f"The first 19 answers are in {partial}; the same command goes on" in stopped.stderr
    assert output.read_text(encoding="utf-8") == "of an earlier run\n"
    kept = partial.read_bytes()
    assert kept.count(b"\n") == 19
    # Killed while it wrote: half a line more than was noted. The first answer is marked: it is not written again.
    partial.write_bytes(kept.replace(b"word0:", b"WORD0:") + b'{"prompt": "wo')
    done = _call(run, _written(rows, WORDS), output)
    assert done.exit_code == 0, done.stderr
    assert f"{partial} holds the first 19 answers; going on behind them." in done.stderr
    whole = (tmp_path / "whole.jsonl").read_bytes()
    assert output.read_bytes() == whole.replace(b"word0:", b"WORD0:")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.jsonl", "rows.jsonl", "whole.jsonl"]


def test_answers_of_another_call_are_not_mixed_in(run: Path, tmp_path: Path) -> None:
    rows, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    partial = tmp_path / "out.jsonl.partial"
    partial.write_text("someone's file", encoding="utf-8")
    foreign = _call(run, _written(rows, WORDS), output)
    assert foreign.exit_code == 2 and "no readable out.jsonl.partial.json beside it" in foreign.stderr
    assert partial.read_text(encoding="utf-8") == "someone's file"
    partial.unlink()
    assert _call(run, _written(rows, WORDS, broken=[19]), output).exit_code == 2
    kept = partial.read_bytes()
    longer = _call(run, rows, output, "--max-new-tokens", "3")
    assert longer.exit_code == 2 and "they differ in 'max_new_tokens'" in longer.stderr
    others = _call(run, _written(rows, ["other", *WORDS[1:]]), output)
    assert others.exit_code == 2 and "not the first ones of this call" in others.stderr
    shorter = _call(run, _written(rows, WORDS[:3]), output)
    assert shorter.exit_code == 2 and "the answers to 19 inputs" in shorter.stderr
    assert partial.read_bytes() == kept and not output.exists()


def test_nothing_answered_leaves_nothing(run: Path, tmp_path: Path) -> None:
    rows, output = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    assert _call(run, _written(rows, WORDS, broken=[0]), output).exit_code == 2
    rows.write_text("\n", encoding="utf-8")
    empty = _call(run, rows, output)
    assert empty.exit_code == 2 and f"{rows} holds no rows" in empty.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]
    nowhere = _call(run, _written(rows, WORDS), tmp_path / "none" / "out.jsonl")
    assert nowhere.exit_code == 2 and "there is no folder" in nowhere.stderr


def test_half_a_surrogate_pair_is_written_as_json_can(run: Path, tmp_path: Path) -> None:
    line = '{"task": "mood", "input": {"text": "good", "note": "\\ud800"}}\n'
    done = CliRunner().invoke(app, ["predict", str(run), "--input", "-"], input=line)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["input"]["note"] == "\ud800"


def test_a_long_file_is_read_as_far_as_it_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_text('{"text": "a short row of some words"}\n' * 10_000, encoding="utf-8")
    rows = JsonLines(str(file))
    tracemalloc.start()
    try:
        count = 0
        while window := rows.take(512):
            count += len(window)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 10_000 and rows.total == 10_000
    assert peak < 1_000_000, "all rows together take 3 MB"


def test_a_pipe_is_read_a_few_megabytes_ahead(tmp_path: Path) -> None:
    """However long its lines are."""
    lines = io.BytesIO((b"x" * 1_000_000 + b"\n") * 60)
    arriving = Arriving(lines, 2_000_000)
    while lines.tell() < 8_000_000:
        time.sleep(0.01)
    time.sleep(0.2)
    assert lines.tell() < 12_000_000
    assert [(number, len(line)) for number, line in arriving] == [(n, 1_000_001) for n in range(1, 61)]


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a file that never ends")
def test_a_line_without_an_end() -> None:
    outcome = bounded(_read_from_dev_zero)
    assert "/dev/zero, line 1: the line is longer than 8,388,608 bytes" in outcome.text
    assert outcome.seconds < 2 and outcome.megabytes < 100


def _read_from_dev_zero() -> None:
    item = JsonLines("/dev/zero").take(10)[0].item
    assert isinstance(item, DataError)
    raise item
