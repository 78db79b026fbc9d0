"""A report as a table in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from hf_mtl.evaluation.fitted_table import CROWDED, NONE, Column, FittedTable, Lead
from hf_mtl.evaluation.report import LOSS, Report, Score, TaskResult, main_score

__all__ = ["report_table"]

METRIC_NOTES = {
    "exact match": "Exact match: greedy decoding gives the reference to the last token.",
    "accuracy": "Accuracy of a language model: the likeliest label is the right one.",
}
NOTES = {
    "constant": "Constant: the best answer that is the same for every row.",
    "interval": "Interval: 95 %, of the figure after training, by bootstrap over rows.",
    "seconds": "Seconds: the task's share of the training time, by its tokens.",
}
NOT_MEASURED = Score("not measured")

Line = tuple[TaskResult, Score, bool]
"""A task, one of its scores, and whether the line is the task's first."""


def report_table(report: Report) -> FittedTable:
    """Return a table of all tasks: a line per metric, or with many tasks a line per task with its main metric."""
    crowded = len(report.results) > CROWDED
    lines: list[Line] = []
    ends = []
    for result in report.results:
        lines += _main_line(result) if crowded else _lines(result)
        ends.append(len(lines) - 1)
    metrics = [score.metric.replace("_", " ") for _, score, _ in lines]
    alike = crowded and len(set(metrics)) == 1
    columns = [
        *([] if alike else [Column("metric", metrics, left=True)]),
        *_columns(lines),
        *([Column("loss", [_other_loss(*line) for line in lines], spare=1)] if crowded else []),
        _column(
            "seconds", [_cell(own.seconds, "{:,.1f}") if first else "" for own, _, first in lines], spare=5
        ),
    ]
    told = (
        f"{len(lines)} tasks, each with its first metric{f': {metrics[0]}' if alike else ''}. "
        if crowded
        else ""
    )
    caption = told + " ".join(note for metric, note in METRIC_NOTES.items() if metric in metrics)
    leads = [Lead(result.task if first else "") for result, _, first in lines]
    return FittedTable("task", leads, columns, sections=() if crowded else ends, caption=caption)


def _lines(result: TaskResult) -> list[Line]:
    measured = [score for score in result.scores if _is_measured(result, score)] or [NOT_MEASURED]
    return [(result, score, number == 0) for number, score in enumerate(measured)]


def _main_line(result: TaskResult) -> list[Line]:
    score = main_score(result)
    return [(result, score if score is not None and _is_measured(result, score) else NOT_MEASURED, True)]


def _is_measured(result: TaskResult, score: Score) -> bool:
    return any(figure is not None for figure in (score.before, score.after, result.test.get(score.metric)))


def _columns(lines: Sequence[Line]) -> list[Column]:
    """The figures of the lines' scores."""
    return [
        _column(
            "rows", [f"{own.rows:,}" if first and own.rows is not None else "" for own, _, first in lines], 2
        ),
        _column("constant", [_figure(score.constant, score) for _, score, _ in lines], spare=3),
        Column("before", [_figure(score.before, score) for _, score, _ in lines]),
        Column("after", [Text(_figure(score.after, score), style=_style(score)) for _, score, _ in lines]),
        _column("interval", [Text(_interval(score), style="dim") for _, score, _ in lines], spare=4),
        Column("test", [_figure(own.test.get(score.metric), score) for own, score, _ in lines]),
    ]


def _column(title: str, cells: Sequence[Text | str], spare: int) -> Column:
    return Column(title, cells, spare=spare, note=NOTES.get(title, ""))


def _figure(value: float | None, score: Score) -> str:
    """A figure; empty where there can be none: of a task that was not measured, and the best constant's loss."""
    absent = score is NOT_MEASURED or (score.metric == LOSS and value is None)
    return "" if absent else _cell(value, "{:.3f}")


def _other_loss(result: TaskResult, main: Score, _: bool) -> str:
    """The loss after training beside a main metric that is another one."""
    after = next((score.after for score in result.scores if score.metric == LOSS and score is not main), None)
    return "" if after is None else f"{after:.3f}"


def _cell(value: float | None, form: str) -> str:
    return NONE if value is None else form.format(value)


def _interval(score: Score) -> str:
    return "" if score.low is None or score.high is None else f"{_short(score.low)}–{_short(score.high)}"


def _short(value: float) -> str:
    """Two digits of a percentage, three of a share: an interval is as wide as that at least."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _style(score: Score) -> str:
    return {True: "bold green", False: "bold red", None: ""}[score.improved]
