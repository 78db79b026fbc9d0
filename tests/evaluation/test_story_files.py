"""From the files of a run to its story."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from made_up_story import TASKS, relations, results

from hf_mtl.errors import CheckpointError, DataError
from hf_mtl.evaluation import Report, Score, TaskResult
from hf_mtl.evaluation.page import (
    INCIDENTS,
    LOG,
    MIXTURE,
    SINGLE,
    TRANSFER,
    Change,
    Incident,
    Share,
    changes_of,
    collect_story,
    delta_p,
    numbers_of,
)
from hf_mtl.evaluation.page.comparison import task_changes
from hf_mtl.training.containment import Containment
from hf_mtl.training.mixtures.log import MixtureLog
from hf_mtl.training.mixtures.mixture import TaskFacts

HISTORY: list[dict[str, object]] = [
    {"step": 1, "loss": 2.0, "a/loss": 2.5, "a/b/loss": 1.5, "a/tokens": 30, "a/b/tokens": 10, "padding": 0.1,
     "a/learning_rate": 1e-3, "shared/learning_rate": 1e-4, "tokens_per_second": 900.0, "a/loss_weight": 0.5},
    {"step": 1, "eval_a/accuracy": 0.5, "eval_a/accuracy_constant": 0.4, "eval_a/rows": 8.0, "eval_a/loss": 2.0,
     "eval_a/b/loss": 3.0, "eval_loss": 2.5},
    {"step": 2, "loss": float("nan"), "a/loss": float("nan"), "a/tokens": 60, "a/b/tokens": 20, "note": "text",
     "odd": np.float32(1.0), "list": [1.0]},
    {"step": 2, "eval_a/accuracy": 0.6},
    {"step": 2, "eval_a/accuracy": 0.7},
    {"step": 2, "train_runtime": 3.0},
]  # fmt: skip


def test_whole_folder(tmp_path: Path) -> None:
    Report(results(), {"base": "someone/model"}).save(tmp_path / "report.json")
    LOG.write(tmp_path, [{"step": 1, "loss": 1.0, "sentiment/learning_rate": 0.1}])
    SINGLE.write(tmp_path, {"sentiment": {"accuracy": 0.8, "loss": 0.6}, "another run's": {"f1": 0.5}})
    TRANSFER.write(tmp_path, {"sentiment": {"similarity": {"pearson": 0.1}}})
    relations().save(tmp_path / "relations.json")
    relations("gradient cosines").save(tmp_path / "cosines.json")
    INCIDENTS.write(tmp_path, [])
    story = collect_story(tmp_path)
    assert story.name == tmp_path.name and story.tasks == TASKS
    assert story.results == results() and story.facts == {"base": "someone/model"}
    assert [(own.task, own.metric) for own in story.changes] == [("sentiment", "accuracy")]
    assert story.changes[0].relative == pytest.approx(0.0925)
    assert story.relations == relations() and story.cosines == relations("gradient cosines")
    assert story.transfer == {"sentiment": {"similarity": {"pearson": 0.1}}}
    assert story.incidents == () and story.learning_rates == {"sentiment": ((1, 0.1),)}
    assert not story.loss_weights and not story.evaluations and not story.shares


def test_log_alone(tmp_path: Path) -> None:
    """As of a run that was stopped; a task's name may begin with another one's."""
    LOG.write(tmp_path, numbers_of(HISTORY))
    story = collect_story(tmp_path)
    assert story.tasks == ("a", "a/b")
    assert story.losses["a/b"] == ((1, 1.5),)
    assert story.losses["a"][0] == (1, 2.5) and math.isnan(story.losses["a"][1][1])
    # The eval loss was measured in one round only, which is no curve.
    assert story.evaluations == {"accuracy": {"a": ((1, 0.5), (2, 0.7))}}
    assert story.learning_rates == {"a": ((1, 1e-3),), "shared": ((1, 1e-4),)}
    assert story.loss_weights == {"a": ((1, 0.5),)}
    assert story.shares == {"a": Share(60, 0.75), "a/b": Share(20, 0.25)}
    assert story.throughput == ((1, 900.0),) and story.padding == ((1, 0.1),)
    assert story.results == () and story.incidents is None


def test_log_of_the_newest_checkpoint(tmp_path: Path) -> None:
    for number in (9, 10):
        (tmp_path / f"checkpoint-{number}").mkdir()
        history = {
            "log_history": [
                {"step": number, "loss": 1.0, "a/loss": 1.0},
                {"step": 2, "loss": 1.0, "a/loss": 0.5, "note": None},
            ]
        }
        (tmp_path / f"checkpoint-{number}" / "trainer_state.json").write_text(json.dumps(history))
    assert [step for step, _ in collect_story(tmp_path).losses["a"]] == [10, 2]
    LOG.write(tmp_path, numbers_of(HISTORY))
    assert [step for step, _ in collect_story(tmp_path).losses["a"]] == [1, 2]


def test_what_the_trainer_counts_fits(tmp_path: Path) -> None:
    log = MixtureLog({"a": TaskFacts(8, 9.0, 4, planned_steps=2)}, planned_steps={"a": 2})
    log.add(examples={"a": 4}, tokens={"a": 10})
    containment = Containment(max_strikes=1)
    containment.strike("a", 3, math.nan, None, {7, 5})
    MIXTURE.write(tmp_path, log.summary()["tasks"])
    INCIDENTS.write(tmp_path, containment.incidents)
    assert MIXTURE.read(tmp_path) == {"a": Share(10, 1.0, 1, 4, 1.0, 1.0, 1.0)}
    assert INCIDENTS.read(tmp_path) == (Incident("a", 3, "its loss is nan", (5, 7), quarantined=True),)


def test_records_come_back(tmp_path: Path) -> None:
    figures = {"a": {"loss": float("nan"), "x": 0.1 + 0.2, "y": float("-inf")}}
    assert SINGLE.read(tmp_path) is None
    SINGLE.write(tmp_path, figures)
    first = (tmp_path / "single.json").read_bytes()
    json.loads(first, parse_constant=pytest.fail)
    again = SINGLE.read(tmp_path)
    assert again is not None and again["a"]["x"] == 0.1 + 0.2 and math.isnan(again["a"]["loss"])
    SINGLE.write(tmp_path, again)
    assert (tmp_path / "single.json").read_bytes() == first
    with pytest.raises(DataError, match="single.json cannot hold this"):
        SINGLE.write(tmp_path, {"a": 1.0})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("single.json", "{", "as JSON, but cannot be read"),
        ("single.json", '{"format_version": 2, "content": {}}', "found 2. A newer hf_mtl"),
        ("single.json", '{"a": {"f1": 0.5}}', "found None. It is another file"),
        (
            "single.json",
            '{"format_version": 1, "content": {"a": 0.5}}',
            "a: expected `key: value` lines, found 0.5",
        ),
        ("incidents.json", '{"format_version": 1, "content": [{"task": "a"}]}', "[0].round: it is missing"),
        ("relations.json", "{}", "should hold relations"),
        ("report.json", "{}", "should hold a report"),
        ("checkpoint-3/trainer_state.json", "[]", "with its log_history"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    if not name.startswith("checkpoint"):
        LOG.write(tmp_path, numbers_of(HISTORY))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError) as caught:
        collect_story(tmp_path)
    assert message in str(caught.value) and str(tmp_path / name) in str(caught.value)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither report.json nor log.json, nor a checkpoint"):
        collect_story(tmp_path / "nowhere")


def test_changes_by_hand() -> None:
    better = TaskResult(
        "up", scores=(Score("f1", after=0.55), Score("loss", after=9.0, greater_is_better=False))
    )
    lower = TaskResult(
        "down", scores=(Score("wer", after=0.3, greater_is_better=False), Score("bleu", after=20.0))
    )
    negative = TaskResult("negative", scores=(Score("pearson", after=-0.1),))
    zero = TaskResult("zero", scores=(Score("f1", after=0.2),))
    single: Mapping[str, Mapping[str, float]] = {
        "up": {"f1": 0.5, "loss": 1.0},  # the loss does not count beside a metric
        "down": {"wer": 0.2, "bleu": 25.0},
        "negative": {"pearson": -0.2},
        "zero": {"f1": 0.0},  # no relative change
    }
    changes = changes_of([better, lower, negative, zero], single)
    assert [own.relative for own in changes] == [
        pytest.approx(0.1), pytest.approx(-0.5), pytest.approx(-0.2), pytest.approx(0.5), None,
    ]  # fmt: skip
    means = task_changes(changes)
    assert list(means) == ["negative", "up", "down"] and means["down"] == pytest.approx(-0.35)
    assert delta_p(changes) == pytest.approx((0.1 - 0.35 + 0.5) / 3)
    assert delta_p([Change("zero", "f1", 0.0, 0.2, True, None)]) is None
