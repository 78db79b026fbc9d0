"""The report: nothing lost on the way to the file and back, no task taken for another, a readable table."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from datasets import Dataset
from rich.console import Console

from hf_mtl.data import PromptCompletion
from hf_mtl.errors import CheckpointError
from hf_mtl.evaluation.generated import GeneratedSample
from hf_mtl.evaluation.page import RunStory, verdict
from hf_mtl.evaluation.report import Report, Score, TaskResult, build_report, losses_by_task
from hf_mtl.evaluation.report_table import report_table
from hf_mtl.tasks import Task, TaskSuite

BEFORE = {
    "eval_sentiment/exact_match": 0.2,
    "eval_sentiment/accuracy": 0.59,
    "eval_sentiment/loss": 2.3,
    "eval_sentiment/rows": 300,
    "eval_sentiment/exact_match_constant": 0.51,
    "eval_sentiment/accuracy_constant": 0.53,
    "eval_past tense/exact_match": 0.0,
    "eval_past tense/loss": 3.25,
    "eval_past tense/rows": 1200,
    "eval_past tense/exact_match_constant": 0.0025,
}
AFTER = BEFORE | {
    "eval_sentiment/exact_match": 0.85,
    "eval_sentiment/exact_match_low": 0.81,
    "eval_sentiment/exact_match_high": 0.88,
    "eval_sentiment/accuracy": 0.55,
    "eval_sentiment/loss": 0.4,
    "eval_past tense/exact_match": 0.87,
    "eval_past tense/loss": 0.125,
}
LOGS = [
    {"loss": 2.5, "sentiment/loss": 2.0, "past tense/loss": 3.0, "step": 10},
    {"eval_sentiment/loss": 1.0, "step": 10},
    {"loss": 1.5, "past tense/loss": 1.5, "step": 20},
    {"train_runtime": 12.0, "train_loss": 2.0, "step": 20},
]


def length(predictions: Sequence[str], references: Sequence[str]) -> Mapping[str, float]:
    return {"length": 1.0}


def task(name: str, *, labels: bool = False, texts: bool = False) -> Task:
    return Task(
        name,
        eval=Dataset.from_list([{"text": "a", "label": "b"}]),
        template=PromptCompletion("{text}", " {label}"),
        labels=["b", "c"] if labels else None,
        metrics=("exact_match", *(["accuracy"] if labels else []), *([length] if texts else [])),
    )


@pytest.fixture
def report() -> Report:
    suite = TaskSuite([task("sentiment", labels=True), task("past tense")])
    seconds = {"sentiment": 30.5, "past tense": 1041.25}
    return build_report(
        suite, BEFORE, AFTER, LOGS, seconds, {"base": "some/model", "trained": 1000, "dtype": None}
    )


def shown(report: Report, width: int = 110) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(report_table(report))
    return capture.get()


def test_scores_are_collected(report: Report) -> None:
    sentiment, past_tense = report.results
    assert sentiment == TaskResult(
        task="sentiment",
        rows=300,
        seconds=30.5,
        scores=(
            Score("exact_match", constant=0.51, before=0.2, after=0.85, low=0.81, high=0.88),
            Score("accuracy", constant=0.53, before=0.59, after=0.55),
            Score("loss", constant=None, before=2.3, after=0.4, greater_is_better=False),
        ),
        losses=((10, 2.0),),
    )
    assert [score.metric for score in past_tense.scores] == ["exact_match", "loss"]
    assert past_tense.losses == ((10, 3.0), (20, 1.5))


def test_names_that_look_like_keys() -> None:
    suite = TaskSuite([task("a", texts=True), task("a/b"), task("eval_a"), task("a_loss/")])
    after = {f"eval_{name}/exact_match": number / 10 for number, name in enumerate(suite.names)}
    after |= {"eval_a/length": 7.0, "eval_a/b/loss": 8.0, "eval_a/rows": 2}
    report = build_report(suite, {}, after, [], {}, {})
    assert [result.scores[0].after for result in report.results] == [0.0, 0.1, 0.2, 0.3]
    assert [score.metric for score in report.results[0].scores] == ["exact_match", "length", "loss"]
    assert report.results[1].scores[-1].after == 8.0


def test_losses_of_training_and_evaluation_are_told_apart() -> None:
    logs = [{"loss": 1.0, "eval_a/loss": 2.0, "step": 1}, {"eval_a/loss": 3.0, "step": 1}]
    assert losses_by_task(logs, ["a", "eval_a"]) == {"a": (), "eval_a": ((1, 2.0),)}


def test_save_load_save_changes_nothing(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "first.json")
    loaded = Report.load(tmp_path / "first.json")
    loaded.save(tmp_path / "second.json")
    assert loaded == report
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes()


def test_file_carries_a_version_and_is_plain_json(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert content["format_version"] == 4
    assert content["results"][0]["scores"][0] == {
        "metric": "exact_match",
        "constant": 0.51,
        "before": 0.2,
        "after": 0.85,
        "low": 0.81,
        "high": 0.88,
        "greater_is_better": True,
    }


def test_a_file_of_format_1_had_no_intervals_and_only_the_loss_was_better_when_smaller(
    tmp_path: Path,
) -> None:
    scores = [
        {"metric": name, "constant": None, "before": 2.0, "after": 1.0} for name in ("accuracy", "loss")
    ]
    result = {"task": "a", "rows": 3, "seconds": None, "scores": scores, "losses": [[1, 0.5]]}
    text = json.dumps({"format_version": 1, "results": [result], "model": {}})
    (tmp_path / "old.json").write_text(text, encoding="utf-8")
    loaded = Report.load(tmp_path / "old.json")
    assert [score.improved for score in loaded.results[0].scores] == [False, True]
    assert loaded.results[0].losses == ((1, 0.5),) and loaded.results[0].scores[0].low is None
    loaded.save(tmp_path / "new.json")
    assert Report.load(tmp_path / "new.json") == loaded


def test_losses_that_are_no_numbers_survive(tmp_path: Path) -> None:
    scores = (Score("loss", before=math.inf, after=math.nan),)
    Report(results=(TaskResult("bad", scores=scores, losses=((1, math.nan),)),)).save(
        tmp_path / "report.json"
    )
    (result,) = Report.load(tmp_path / "report.json").results
    assert result.scores[0].before == math.inf
    assert math.isnan(result.losses[0][1])
    assert "nan" in shown(Report(results=(result,)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "found None"),
        ('{"results": []}', "found None"),
        ('{"format_version": 5}', "A newer hf_mtl wrote it"),
        ('{"format_version": 4}', "results: it is missing"),
        ('{"format_version": 3}', "results: it is missing"),
        ('{"format_version": 2}', "results: it is missing"),
        ('{"format_version": 1}', "results: it is missing"),
        ('{"format_version": 1, "results": [{"task": 3}]}', r"results\[0\]\.task: expected text, found 3"),
        ('{"format_version": 1, "results": [], "surprise": 1}', "surprise"),
    ],
)
def test_a_foreign_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message) as caught:
        Report.load(path)
    assert str(path) in str(caught.value)


def test_table(report: Report) -> None:
    lines = [line.split() for line in shown(report).splitlines()]
    assert ["task", "metric", "rows", "constant", "before", "after", "interval", "seconds"] in lines
    first = ["sentiment", "exact", "match", "300", "0.510", "0.200", "0.850", "0.810–0.880", "30.5"]
    assert first in lines
    assert ["accuracy", "0.530", "0.590", "0.550"] in lines
    assert ["past", "tense", "exact", "match", "1,200", "0.003", "0.000", "0.870", "1,041.2"] in lines
    assert ["loss", "3.250", "0.125"] in lines  # no constant answer has a loss
    assert "by its tokens" in " ".join(shown(report).split())


@pytest.mark.parametrize("width", [80, 110])
def test_table_fits(report: Report, width: int) -> None:
    lines = shown(report, width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert "0.510" in " ".join(lines)


def test_names_are_no_markup() -> None:
    assert "[red]x[/red]" in shown(Report(results=(TaskResult("[red]x[/red]", scores=(Score("loss"),)),)))


@pytest.mark.parametrize(
    ("metric", "before", "after", "improved"),
    [
        ("exact_match", 0.1, 0.2, True),
        ("exact_match", 0.2, 0.1, False),
        ("loss", 2.0, 1.0, True),
        ("loss", 1.0, 2.0, False),
        ("loss", 1.0, math.nan, False),
        ("exact_match", 0.1, math.nan, False),
        ("loss", 1.0, 1.0, None),
        ("loss", None, 1.0, None),
    ],
)
def test_improved(metric: str, before: float | None, after: float | None, improved: bool | None) -> None:
    score = Score(metric, before=before, after=after, greater_is_better=metric != "loss")
    assert score.improved is improved


def test_answers_that_were_written_are_kept_and_a_disagreement_is_told(tmp_path: Path) -> None:
    agrees, differs = (
        GeneratedSample(16, 0.5, 0.5),
        GeneratedSample(16, 1.0, 0.25, differing=12, running_on=12),
    )
    report = Report(results=(TaskResult("a"), TaskResult("b"), TaskResult("c")))
    report = report.with_generated({"a": agrees, "b": differs})
    report.save(tmp_path / "report.json")
    again = Report.load(tmp_path / "report.json")
    assert again == report and again.results[1].generated == differs and again.results[2].generated is None
    told = [
        line
        for line in verdict(RunStory("run", ("a", "b", "c"), results=again.results))
        if "bear out" in line
    ]
    assert len(told) == 1 and "exact matches of b: of 16 rows, 1.00 are exact by one forward pass" in told[0]
    assert "0.25 when they are generated" in told[0] and "nothing stopped the answer" in told[0]
