"""A report as a table in the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text

from hf_mtl.evaluation.report import Report, Score, TaskResult

__all__ = ["report_table"]

CAPTION = (
    "Interval: 95 %, of the figure after training, by bootstrap over rows. "
    "Exact match: greedy decoding gives the reference to the last token. "
    "Accuracy of a language model: the likeliest label is the right one. "
    "Constant: the best answer that is the same for every row. "
    "Seconds: the task's share of the training time, by its tokens."
)


def report_table(report: Report) -> Table:
    """Return a table of all tasks: one line per metric."""
    table = Table(
        box=box.SIMPLE_HEAD,
        caption=CAPTION,
        caption_justify="left",
        caption_style="dim",
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("task", overflow="fold", style="bold")
    table.add_column("metric", no_wrap=True)
    tested = any(result.test for result in report.results)
    intervals = any(score.low is not None for result in report.results for score in result.scores)
    more = [*(["interval"] if intervals else []), *(["test"] if tested else [])]
    for title in ("rows", "constant", "before", "after", *more, "seconds"):
        table.add_column(title, justify="right", no_wrap=title != "task")
    for result in report.results:
        for cells in _lines(result, intervals=intervals, tested=tested):
            table.add_row(*cells)
        table.add_section()
    return table


def _lines(result: TaskResult, *, intervals: bool, tested: bool) -> Iterable[tuple[Text | str, ...]]:
    for number, score in enumerate(result.scores):
        first = number == 0
        yield (
            Text(result.task) if first else "",
            score.metric.replace("_", " "),
            _cell(result.rows, "{:,}") if first else "",
            _cell(score.constant, "{:.3f}"),
            _cell(score.before, "{:.3f}"),
            Text(_cell(score.after, "{:.3f}"), style=_style(score)),
            *([Text(_interval(score), style="dim")] if intervals else []),
            *([_cell(result.test.get(score.metric), "{:.3f}")] if tested else []),
            _cell(result.seconds, "{:,.1f}") if first else "",
        )


def _cell(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _interval(score: Score) -> str:
    return "" if score.low is None or score.high is None else f"{_short(score.low)}–{_short(score.high)}"


def _short(value: float) -> str:
    """Two digits of a percentage, three of a share: an interval is as wide as that at least."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _style(score: Score) -> str:
    return {True: "bold green", False: "bold red", None: ""}[score.improved]
