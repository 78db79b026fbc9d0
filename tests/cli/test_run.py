"""A whole run through the command line on a tiny model: train, load the result in plain peft, evaluate, predict."""

from __future__ import annotations

import json
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
from two_tasks import RECIPE
from typer.testing import CliRunner

from hf_mtl.cli import app
from hf_mtl.relations import Relations
from hf_mtl.versions import plain_prefix_problem

pytestmark = pytest.mark.slow  # every test starts processes that import torch and peft

Program = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def finished(
    hf_mtl_program: Program,
    tiny_llama: Path,
    tmp_path_factory: pytest.TempPathFactory,
    two_tasks_rows: dict[str, str],
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("run")
    for name, text in two_tasks_rows.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE.format(model=tiny_llama), encoding="utf-8")
    done = hf_mtl_program("train", "recipe.yaml", "--set", "training.max_steps=3", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_output(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = finished
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        "someone/tiny-llama in float32 on cpu: 2 tasks, 12 rows to learn from, 12 to measure on, "
    )
    assert lines[0].endswith("trainable parameters per task")
    assert [line.split()[1] for line in lines[1:] if line.startswith("round ")] == ["1/3", "2/3", "3/3"]
    assert lines[-1] == "  model = PeftModel.from_pretrained(base, 'runs/tiny/words')"
    assert "{'" not in done.stdout
    assert done.stderr == "Batches of LlamaForCausalLM are packed (one token stream, no padding).\n"


def test_files(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run = finished[0] / "runs" / "tiny"
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert [result["task"] for result in report["results"]] == ["words", "past tense"]
    assert {score["metric"] for score in report["results"][0]["scores"]} == {
        "exact_match",
        "accuracy",
        "loss",
    }
    assert report["model"]["base"] == "someone/tiny-llama"
    assert (run / "loss_curve.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((run / "hf_mtl.json").read_text(encoding="utf-8"))["tasks"] == {
        "words": "words",
        "past tense": "past-tense",
    }


@pytest.mark.parametrize("kind", ["PREFIX_TUNING", "LORA"])
def test_the_end_of_a_run_says_what_plain_peft_cannot_do_here(
    hf_mtl_program: Program, tiny_llama: Path, two_tasks: Path, kind: str
) -> None:
    (two_tasks / "recipe.yaml").write_text(RECIPE.format(model=tiny_llama), encoding="utf-8")
    adapter = {"LORA": "r: 2, target_modules: all-linear", "PREFIX_TUNING": "num_virtual_tokens: 2"}[kind]
    done = hf_mtl_program(
        "train",
        "recipe.yaml",
        "--set",
        f"defaults.adapter={{peft_type: {kind}, {adapter}}}",
        "--set",
        "training.max_steps=1",
        cwd=two_tasks,
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    if kind == "PREFIX_TUNING" and plain_prefix_problem() is not None:
        assert last == f"Not in this environment: {plain_prefix_problem()}"
    else:
        assert last.startswith("  model = PeftModel.from_pretrained(")


# peft still asks transformers by the old name.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_adapters_load_in_plain_peft(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tiny_llama: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    model = PeftModel.from_pretrained(base, finished[0] / "runs" / "tiny" / "past-tense")
    assert model.peft_config["default"].base_model_name_or_path == "someone/tiny-llama"
    trained = [tensor for name, tensor in model.named_parameters() if "lora_B" in name]
    assert trained
    assert all(bool(tensor.abs().sum() > 0) for tensor in trained)


def test_evaluate_gives_the_same_figures(
    finished: tuple[Path, subprocess.CompletedProcess[str]], hf_mtl_program: Program
) -> None:
    run = finished[0] / "runs" / "tiny"
    done = hf_mtl_program("evaluate", "recipe.yaml", cwd=finished[0])
    assert done.returncode == 0, done.stderr
    assert "past tense" in done.stdout
    again = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))["results"]
    first = json.loads((run / "report.json").read_text(encoding="utf-8"))["results"]
    for was, now in zip(first, again, strict=True):
        assert {s["metric"]: s["after"] for s in now["scores"]} == pytest.approx(
            {s["metric"]: s["after"] for s in was["scores"]}, rel=1e-6
        )


def test_report_shows_the_run(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    run = finished[0] / "runs" / "tiny"
    done = CliRunner().invoke(app, ["report", str(run), "--output", str(tmp_path / "page")])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "page" / "index.html")
    page = ElementTree.fromstring((tmp_path / "page" / "index.html").read_text(encoding="utf-8"))
    parts = {"results", "incidents", "losses", "shares", "learning_rates", "throughput"}
    assert parts <= {section.get("id") for section in page.iter("section")}
    story = json.loads((tmp_path / "page" / "story.json").read_text(encoding="utf-8"))
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    for shown, result in zip(story["results"], report["results"], strict=True):
        assert shown == result | {"losses": []}
        assert story["losses"][result["task"]] == result["losses"]
    assert story["tasks"] == ["words", "past tense"] and story["incidents"] == []
    assert story["shares"]["words"]["steps"] == 3
    assert [step for step, _ in story["learning_rates"]["past tense"]] == [1, 2, 3]
    again = CliRunner().invoke(app, ["report", str(run)])
    assert again.exit_code == 0 and (run / "report" / "index.html").is_file()


def test_relations_of_the_run(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    run, file = finished[0] / "runs" / "tiny", tmp_path / "near.json"
    done = CliRunner().invoke(app, ["relations", str(run), "--output", str(file)])
    assert done.exit_code == 0, done.stderr
    found = Relations.load(file)
    assert found.names == ("words", "past tense") and found.source == "learned"
    assert found.values.tolist() == [[0, 1], [1, 0]]  # each has but one other task
    assert done.stdout.splitlines()[-1] == f"relations: {file}"
    for source, told in (("cosines", "holds no cosines.json"), ("results", "'words', 'past tense' were not")):
        done = CliRunner().invoke(app, ["relations", str(run), "--by", source])
        assert done.exit_code == 2 and told in done.stderr
    assert not (run / "relations.json").exists()


def test_report_of_no_run(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 2
    assert "holds neither report.json nor log.json" in done.stderr


def test_predict_rows(
    finished: tuple[Path, subprocess.CompletedProcess[str]], hf_mtl_program: Program, tmp_path: Path
) -> None:
    rows = '{"lemma": "walk"}\n{"lemma": "run"}\n'
    arguments = ("predict", "runs/tiny", "--task", "past tense", "--max-new-tokens", "3")
    done = hf_mtl_program(*arguments, "--input", "-", cwd=finished[0], stdin=rows)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["prompt"] for answer in answers] == ["walk:", "run:"]
    assert all(isinstance(answer["prediction"], str) for answer in answers)
    run, file = str(finished[0] / "runs" / "tiny"), tmp_path / "out.jsonl"
    for prompt in (("--prompt", "walk"), ("--prompt", "walk:", "--raw")):
        written = CliRunner().invoke(app, ["predict", run, *arguments[2:], *prompt, "--output", str(file)])
        assert written.exit_code == 0, written.output
        assert written.stdout == ""
        assert json.loads(file.read_text(encoding="utf-8")) == answers[0]


def test_predict_needs_no_training_data(
    finished: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    run = shutil.copytree(finished[0] / "runs" / "tiny", tmp_path / "tiny")
    done = CliRunner().invoke(app, ["predict", str(run), "--task", "words", "--prompt", "good"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["prompt"] == "good is"


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        (("--task", "past tens", "--prompt", "x"), "", "has no task 'past tens'. Did you mean 'past tense'?"),
        (
            ("--task", "words", "--input", "-"),
            '{"txt": "x"}\n',
            "task 'words', input 1 (stdin, line 1): the template",
        ),
        (("--task", "words", "--input", "-"), "{\n", "stdin, line 1: not valid JSON"),
        (("--task", "words", "--input", "none.jsonl"), "", "none.jsonl cannot be read"),
    ],
)
def test_predict_mistakes(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
    arguments: tuple[str, ...],
    stdin: str,
    expected: str,
) -> None:
    run = finished[0] / "runs" / "tiny"
    done = CliRunner().invoke(app, ["predict", str(run), *arguments], input=stdin)
    assert done.exit_code == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_in_which_every_task_goes_bad_fails_and_its_page_says_why(
    hf_mtl_program: Program, tiny_llama: Path, two_tasks: Path
) -> None:
    (two_tasks / "recipe.yaml").write_text(RECIPE.format(model=tiny_llama), encoding="utf-8")
    too_fast = ("--set", "training.learning_rate=1e30", "--set", "training.max_steps=6")
    done = hf_mtl_program("train", "recipe.yaml", *too_fast, cwd=two_tasks)
    assert done.returncode == 2
    assert "TrainingError: Every task went bad" in done.stderr and "Traceback" not in done.stderr
    assert "'words': 3 bad rounds" in done.stderr and "'past tense': 3 bad rounds" in done.stderr
    run = two_tasks / "runs" / "tiny"
    assert not (run / "hf_mtl.json").exists() and not (run / "words").exists()
    shown = CliRunner().invoke(app, ["report", str(run)])
    assert shown.exit_code == 0, shown.output
    page = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "in quarantine: words, past tense." in page
    assert page.count("leaves the run, back to the weights it started with") == 2
