"""Every write, fsync, rename, mkdir and opening of every verb fails once: what the user sees, and what is left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from two_tasks import RECIPE
from write_sweep import Job, Outcome, Sweep

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RUN = "runs/tiny"
MODEL = "MODEL"  # is replaced by the tiny model's folder

TRAIN = (
    "train",
    "recipe.yaml",
    "--set",
    "training.save_strategy=steps",
    "--set",
    "training.save_steps=1",
    "--set",
)
VERBS: dict[str, Sequence[str]] = {
    "train": (*TRAIN, "training.max_steps=1"),
    "train anew": (*TRAIN, "training.max_steps=1", "--output-dir", "runs/new"),
    "train, tracked": (*TRAIN, "training.max_steps=1", "--set", "training.report_to=tensorboard"),
    "evaluate": ("evaluate", RUN, "--transfer"),
    "report": ("report", RUN),
    "relations": ("relations", RUN),
    "predict": ("predict", RUN, "--task", "words", "--input", "words.jsonl", "--output", "out.jsonl"),
    "preview": ("preview", "recipe.yaml", "--html", "pages/page.html"),
    "init": ("init", "words.jsonl", "--base", MODEL, "--output", "new.yaml"),
    "recipes copy": ("recipes", "copy", "quickstart", "copied"),
    "compare": ("compare", "recipe.yaml", "--seed", "0", "--set", "training.max_steps=1"),
}  # fmt: skip
# Calls of a quick test, spread over a run.
SAMPLE = {"train": (50, 190, 275)}

# The verbs that take minutes, with a number of calls that is not above what they make.
MANY = {
    "train": 320,
    "train, tracked": 340,
    "train anew": 315,
    "compare": 330,
    "evaluate": 70,
    "recipes copy": 100,
}

Sweeper = Callable[[dict[str, Sequence[int]]], list[Outcome]]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C file, compiled."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("writes are made to fail by a preloaded library, which takes Linux and a C compiler")
    library = tmp_path_factory.mktemp("shim") / "failing_writes.so"
    source = HERE / "failing_writes.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def sweep(shim: Path, tmp_path: Path, tiny_llama: Path, two_tasks_rows: dict[str, str]) -> Sweeper:
    template = tmp_path / "template"
    (template / "tmp").mkdir(parents=True)
    for name, text in two_tasks_rows.items():
        (template / name).write_text(text, encoding="utf-8")
    (template / "recipe.yaml").write_text(RECIPE.format(model=tiny_llama), encoding="utf-8")

    def run(numbers: dict[str, Sequence[int]]) -> list[Outcome]:
        sweeps = [
            Sweep([str(tiny_llama) if part == MODEL else part for part in VERBS[name]], which)
            for name, which in numbers.items()
        ]
        earlier = [*TRAIN, "training.max_steps=1", "--set", "defaults.adapter.r=2"]
        job = Job(str(template), str(tmp_path / "root"), [earlier], [RUN], sweeps)
        return _outcomes(job, shim)

    return run


def _outcomes(job: Job, shim: Path) -> list[Outcome]:
    root = Path(job.root)
    environment = os.environ | {
        "LD_PRELOAD": str(shim), "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}", "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TERM": "dumb", "COLUMNS": "200",
        "HF_DATASETS_CACHE": str(root / "cache"), "TMPDIR": str(root / "tmp"), "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    (root / "tmp").mkdir(parents=True)
    text = json.dumps(job, default=vars)
    command = [sys.executable, str(HERE / "write_sweep.py")]
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]


def _fault(outcome: Outcome) -> str | None:
    """What is wrong with a run in which a write failed."""
    if outcome.number == 0:
        return (
            None
            if outcome.status == 0 and not outcome.problems
            else "does not even work without a failing write"
        )
    if outcome.problems:
        return "; ".join(outcome.problems)
    if "Traceback (most recent call last)" in outcome.text:
        return "ends with a traceback"
    if outcome.status == 0 and "/root/cache" in outcome.failed:
        return None  # datasets has another way: it copies what it cannot rename, and reads on without a lock
    said = any(words in outcome.text for words in ("could not be", "cannot be", "must be writable"))
    named = (
        "the disk is full" in outcome.text
        or "may not write" in outcome.text
        or os.strerror(outcome.error) in outcome.text
    )
    if not (said and named):
        return "does not say which file could not be written, and why"
    if outcome.status == 0 and "the run goes on" not in outcome.text:
        return "exits with 0"
    return None


def _check(outcomes: Sequence[Outcome]) -> None:
    faults = [
        f"{outcome.verb[0]}, call {outcome.number} ({outcome.failed}, {os.strerror(outcome.error)}): {fault}\n"
        f"{outcome.text[-1500:]}"
        for outcome in outcomes
        if (fault := _fault(outcome)) is not None and (outcome.number == 0 or outcome.failed)
    ]
    counts = {outcome.verb[0]: outcome.calls for outcome in outcomes if outcome.number == 0}
    assert not faults, f"{len(faults)} of {len(outcomes)} runs ({counts}):\n" + "\n---\n".join(faults)


def test_some_writes_fail(sweep: Sweeper) -> None:
    outcomes = sweep(dict(SAMPLE))
    assert sum(bool(outcome.failed) for outcome in outcomes) == sum(map(len, SAMPLE.values()))
    _check(outcomes)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("verb", VERBS)
def test_every_write_fails_once(sweep: Sweeper, verb: str) -> None:
    """Of the verbs that train or measure every tenth call, which takes minutes; all of them with EVERY_WRITE=1."""
    thinned = verb in MANY and "EVERY_WRITE" not in os.environ
    _check(sweep({verb: tuple(range(1, MANY[verb], 10)) if thinned else ()}))
