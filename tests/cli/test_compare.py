"""`hf-mtl compare` on a tiny model: all variants over seeds, kept by content, and a page for each run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_mtl.evaluation import Comparison
from hf_mtl.relations import Relations

Program = Callable[..., "subprocess.CompletedProcess[str]"]

RECIPE = """\
# hf-mtl compare recipe.yaml
model: {{id: someone/tiny-llama, source: {model}, dtype: float32}}
output_dir: runs/tiny
sharing: shared+private
defaults: {{adapter: {{r: 4, lora_alpha: 8, target_modules: [q_proj, v_proj]}}, max_length: 64}}
tasks:
  words:
    train: words.jsonl
    eval: words.jsonl
    template: {{prompt: "{{text}} is", completion: " {{label}}"}}
    labels: [negative, positive]
    metrics: [accuracy]
  past tense:
    train: verbs.jsonl
    eval: verbs.jsonl
    template: {{prompt: "{{lemma}}:", completion: " {{past}}"}}
    metrics: [perplexity]
training: {{max_steps: 4, per_device_train_batch_size: 3, learning_rate: 1e-2, logging_steps: 1, use_cpu: true,
  gradient_cosines: true, eval_strategy: steps, eval_steps: 1}}
variants:
  shared: {{sharing: shared, training.learning_rate: 5.0e-3}}
  weighted: {{objective: {{name: static, weights: {{words: 3, past tense: 1}}}}}}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compared(
    hf_mtl_program: Program,
    tiny_llama: Path,
    tmp_path_factory: pytest.TempPathFactory,
    two_tasks_rows: dict[str, str],
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("compare")
    for name, text in two_tasks_rows.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE.format(model=tiny_llama), encoding="utf-8")
    done = hf_mtl_program("compare", "recipe.yaml", "--seed", "0", "--seed", "1", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def _runs(folder: Path) -> dict[Path, int]:
    return {
        file: file.stat().st_mtime_ns for file in (folder / "runs/tiny-compare/runs").glob("*/report.json")
    }


def test_the_table_and_the_file_say_the_same(compared: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = compared
    comparison = Comparison.load(folder / "runs/tiny-compare/comparison.json")
    assert [variant.name for variant in comparison.variants] == ["alone", "joint", "shared", "weighted"]
    assert comparison.seeds == (0, 1)
    assert comparison.greater_is_better == {"words": {"accuracy": True}, "past tense": {"perplexity": False}}
    shown = done.stdout[done.stdout.rindex("seeds 0, 1") :]
    for variant in comparison.variants:
        (line,) = [line for line in shown.splitlines() if line.strip().startswith(f"{variant.name} ")]
        assert f"{variant.parameters:,}" in line
        assert comparison.score(variant.name, "words", "accuracy").text() in line
    alone, joint, shared, _ = (variant.parameters for variant in comparison.variants)
    assert alone == 2 * shared
    assert joint == alone + shared + 2  # and a learned scale per task
    values = [comparison.variant("joint").scores["past tense"]["perplexity"][i] for i in range(2)]
    assert values[0] != values[1]  # the seeds differ


def test_a_second_call_trains_only_what_changed(
    hf_mtl_program: Program, compared: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    folder, _ = compared
    before = _runs(folder)
    assert len(before) == 8
    again = hf_mtl_program("compare", "recipe.yaml", "--seed", "0", "--seed", "1", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert _runs(folder) == before
    rows = (folder / "words.jsonl").read_text(encoding="utf-8")
    (folder / "words.jsonl").write_text(rows + rows.splitlines(keepends=True)[0], encoding="utf-8")
    third = hf_mtl_program("compare", "recipe.yaml", "--seed", "0", "--seed", "0", cwd=folder)
    (folder / "words.jsonl").write_text(rows, encoding="utf-8")
    assert third.returncode == 0, third.stderr
    assert len(_runs(folder)) == len(before) + 4
    # A seed that is named twice would make the intervals too narrow.
    assert Comparison.load(folder / "runs/tiny-compare/comparison.json").seeds == (0,)
    assert {file: time for file, time in _runs(folder).items() if file in before} == before


def test_a_run_of_it_has_a_page_against_the_tasks_alone(
    hf_mtl_program: Program, compared: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    folder, _ = compared
    run = max(_runs(folder), key=os.path.getmtime).parent
    assert json.loads((run / "single.json").read_text())["content"].keys() == {"words", "past tense"}
    assert json.loads((run / "cosines.json").read_text())["names"] == ["words", "past tense"]
    moved = hf_mtl_program("evaluate", run, "--transfer", cwd=folder)
    assert moved.returncode == 0, moved.stderr
    assert json.loads((run / "transfer.json").read_text())["content"]["words"].keys() == {
        "words",
        "past tense",
    }
    for source, symmetric in (("results", True), ("cosines", True), ("adapters", False)):
        done = hf_mtl_program("relations", run, "--by", source, cwd=folder)
        assert done.returncode == 0, done.stderr
        found = Relations.load(run / "relations.json")
        assert found.names == ("words", "past tense") and bool(found.values[0, 0] == 1) is symmetric
    done = hf_mtl_program("report", run, cwd=folder)
    assert done.returncode == 0, done.stderr
    page = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "alone" in page and "past tense" in page


def test_mistakes_are_told_before_anything_is_trained(
    hf_mtl_program: Program, compared: tuple[Path, subprocess.CompletedProcess[str]]
) -> None:
    folder, _ = compared
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    (folder / "wrong.yaml").write_text(text.replace("sharing: shared,", "sharing: sharde,"), encoding="utf-8")
    before = set(folder.rglob("*"))
    done = hf_mtl_program("compare", "wrong.yaml", cwd=folder)
    assert done.returncode == 2
    assert "there is no structure 'sharde'. Did you mean 'shared'?" in " ".join(done.stderr.split())
    assert set(folder.rglob("*")) == before
