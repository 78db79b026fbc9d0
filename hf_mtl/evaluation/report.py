"""What a run gave: every task's scores before and after, next to what a constant answer would score.

`build_report` collects, `report_table` shows it, `Report.save` and `Report.load` keep it as JSON.

    >>> score = Score(metric="exact_match", constant=0.5, before=0.2, after=0.85)
    >>> report = Report(results=(TaskResult("sentiment", rows=300, seconds=41.0, scores=(score,)),))
    >>> report.results[0].scores[0].after
    0.85
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import ConfigDict, TypeAdapter

from hf_mtl.evaluation.generated import GeneratedSample
from hf_mtl.evaluation.thinning import thin
from hf_mtl.files import write_text
from hf_mtl.files.records import checked_record, read_record
from hf_mtl.printable import json_text

if TYPE_CHECKING:
    from hf_mtl.tasks import Task, TaskSuite

__all__ = [
    "LossPoint",
    "Report",
    "Score",
    "TaskResult",
    "build_report",
    "losses_by_task",
    "main_score",
    "own_figures",
]

_WHAT = "a report"
FORMAT_VERSION = 4  # 1 had no intervals, 2 no answers that were written, 3 no skipped rows

LOSS = "loss"

# JSON has no NaN, and a loss that became NaN must survive the file.
FILE_RULES = ConfigDict(ser_json_inf_nan="strings", extra="forbid")

LossPoint = tuple[int, float]


@dataclass(frozen=True)
class Score:
    """One metric of one task, before and after training; None where there is no such number.

    Args:
        metric: The key of the figure.
        constant: What the best constant answer scores.
        before: Before training.
        after: After it.
        low: The lower end of the 95 % bootstrap interval of `after`.
        high: Its upper end.
        greater_is_better: Whether a larger figure is a better one.
    """

    __pydantic_config__: ClassVar[ConfigDict] = FILE_RULES

    metric: str
    constant: float | None = None
    before: float | None = None
    after: float | None = None
    low: float | None = None
    high: float | None = None
    greater_is_better: bool = True

    @property
    def improved(self) -> bool | None:
        """Whether training made this score better; None when nothing changed or a number is missing."""
        if self.before is None or self.after is None or self.before == self.after:
            return None
        return self.after > self.before if self.greater_is_better else self.after < self.before


@dataclass(frozen=True)
class TaskResult:
    """One task of a `Report`.

    Args:
        task: The task's name.
        rows: Evaluation rows behind the scores.
        seconds: The task's share of the training's wall time, by its tokens.
        scores: One entry per metric.
        losses: The training loss over the rounds, as (round, loss).
        test: All figures on the rows that were kept for after training, by their keys; empty without such rows.
        generated: What some rows' answers were when they were written; None where nothing was.
        skipped: By split and reason, the rows that could not be used and were left out.
    """

    __pydantic_config__: ClassVar[ConfigDict] = FILE_RULES

    task: str
    rows: int | None = None
    seconds: float | None = None
    scores: tuple[Score, ...] = ()
    losses: tuple[LossPoint, ...] = ()
    test: Mapping[str, float] = field(default_factory=dict)
    generated: GeneratedSample | None = None
    skipped: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """The outcome of a run, one `TaskResult` per task in the suite's order.

    Args:
        results: The tasks.
        model: Facts about the base model and the run, such as its name and number of trained parameters.
    """

    __pydantic_config__: ClassVar[ConfigDict] = FILE_RULES

    results: tuple[TaskResult, ...]
    model: Mapping[str, str | int | float | None] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write the report as JSON."""
        content = {"format_version": FORMAT_VERSION, **json.loads(_adapter().dump_json(self))}
        write_text(path, json_text(content, indent=2, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read what `save` wrote.

        Raises:
            CheckpointError: The file is no report, or was written by a newer version of hf_mtl.
        """
        version, content = read_record(path, _WHAT, newest=FORMAT_VERSION, oldest=1)
        report = checked_record(path, _WHAT, _adapter(), content)
        return _from_format_1(report) if version == 1 else report

    def with_tests(self, figures: Mapping[str, float]) -> Report:
        """The report with what `MultiTaskTrainer.evaluate` gave for test rows, keyed like `test_sentiment/accuracy`."""
        names = [result.task for result in self.results]
        results = tuple(
            replace(own, test=own_figures(names, own.task, figures, "test")) for own in self.results
        )
        return replace(self, results=results)

    def with_generated(self, samples: Mapping[str, GeneratedSample]) -> Report:
        """The report with what `MultiTaskTrainer.check_generation` gave."""
        results = tuple(replace(own, generated=samples.get(own.task)) for own in self.results)
        return replace(self, results=results)

    def with_skipped(self, rows: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Report:
        """The report with what `MultiTaskTrainer.skipped_rows` gave."""
        results = tuple(replace(own, skipped=rows.get(own.task, {})) for own in self.results)
        return replace(self, results=results)


def build_report(
    suite: TaskSuite,
    before: Mapping[str, float],
    after: Mapping[str, float],
    log_history: Sequence[Mapping[str, float]],
    seconds: Mapping[str, float],
    model_info: Mapping[str, str | int | float | None],
) -> Report:
    """Collect what a run measured.

    Args:
        suite: The tasks of the run.
        before: What `MultiTaskTrainer.evaluate` gave before training, keyed like `eval_sentiment/accuracy`.
        after: The same after training.
        log_history: `trainer.state.log_history`; its entries `sentiment/loss` become the tasks' losses.
        seconds: By task, its share of the training's wall time (by its tokens), in seconds.
        model_info: Facts about the base model and the run.
    """
    losses = losses_by_task(log_history, suite.names)
    results = []
    for name in suite.names:
        rows = after.get(f"eval_{name}/rows", before.get(f"eval_{name}/rows"))
        results.append(
            TaskResult(
                task=name,
                rows=None if rows is None else int(rows),
                seconds=seconds.get(name),
                scores=_scores(suite, name, before, after),
                losses=losses[name],
            )
        )
    return Report(results=tuple(results), model=dict(model_info))


def losses_by_task(
    log_history: Iterable[Mapping[str, float]], tasks: Iterable[str]
) -> dict[str, tuple[LossPoint, ...]]:
    """Return the training losses of each task as (round, loss); of a long log, the points that `thin` keeps.

    Only entries with a `loss` of their own count, as these are the training's: in an evaluation's entries the
    loss of a task `a` has the key `eval_a/loss`, the same as the training loss of a task called `eval_a`.
    """
    training = [entry for entry in log_history if LOSS in entry]
    return {
        task: thin([(int(entry["step"]), entry[key]) for entry in training if key in entry])
        for task, key in ((task, f"{task}/loss") for task in tasks)
    }


def main_score(result: TaskResult) -> Score | None:
    """Return the score that stands for a task: that of its first metric, or else its loss."""
    return next((score for score in result.scores if score.metric != LOSS), None) or next(
        iter(result.scores), None
    )


def _adapter() -> TypeAdapter[Report]:
    return TypeAdapter(Report)


def _from_format_1(report: Report) -> Report:
    """A report whose scores do not say their direction: the loss alone was better when smaller."""
    scores = [[replace(s, greater_is_better=s.metric != LOSS) for s in r.scores] for r in report.results]
    told = zip(report.results, scores, strict=True)
    return replace(report, results=tuple(replace(result, scores=tuple(own)) for result, own in told))


def _scores(
    suite: TaskSuite, task: str, before: Mapping[str, float], after: Mapping[str, float]
) -> tuple[Score, ...]:
    """The main figure of each of the task's metrics, and the loss."""
    old, new = (own_figures(suite.names, task, figures, "eval") for figures in (before, after))
    keys = dict.fromkeys((*old, *new), 0.0)
    mains: dict[str, bool] = {}
    for metric in suite[task].measures:
        # A metric that does not say its keys gave all those that no other one says.
        mains |= {
            key: metric.better(key) is not False
            for key in (
                (metric.main or metric.keys[0],) if metric.main or metric.keys else _plain(keys, suite[task])
            )
        }
    return tuple(
        Score(
            metric=key,
            constant=new.get(f"{key}_constant", old.get(f"{key}_constant")),
            before=old.get(key),
            after=new.get(key),
            low=new.get(f"{key}_low"),
            high=new.get(f"{key}_high"),
            greater_is_better=greater,
        )
        for key, greater in {**mains, LOSS: False}.items()
    )


def own_figures(
    names: Sequence[str], task: str, figures: Mapping[str, float], before: str
) -> dict[str, float]:
    """The figures of one task, by their keys alone."""
    prefix = f"{before}_{task}/"
    # A key of a task "a/b" starts with the prefix of a task "a" too: the longest name owns it.
    longer = tuple(f"{before}_{name}/" for name in names if name.startswith(f"{task}/"))
    return {
        key.removeprefix(prefix): value
        for key, value in figures.items()
        if key.startswith(prefix) and not key.startswith(longer)
    }


def _plain(keys: Iterable[str], task: Task) -> list[str]:
    """The keys that are figures of metrics and not of one of the named ones."""
    named = {key for metric in task.measures for key in metric.keys}
    told = ("_constant", "_low", "_high")
    return [key for key in keys if key not in {LOSS, "rows"} | named and not key.endswith(told)]
