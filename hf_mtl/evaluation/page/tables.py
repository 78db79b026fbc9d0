"""The tables of a run's page, as plain texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from hf_mtl.evaluation.page.comparison import delta_p, task_changes
from hf_mtl.evaluation.page.story import RunStory
from hf_mtl.evaluation.report import LOSS, Score, TaskResult

__all__ = ["Cell", "Table", "figure", "tables_of"]

NONE = "–"
NOT_MEASURED = Score("not measured")


@dataclass(frozen=True)
class Cell:
    """A text and how it is shown: `number`, `name`, `good`, `bad` or nothing, several by blanks."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Table:
    """Column titles and rows of as many cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def titles(self) -> tuple[Cell, ...]:
        """The column titles, each set as the cells under it."""
        numeric = [
            any("number" in row[place].style for row in self.rows) for place in range(len(self.columns))
        ]
        return tuple(
            Cell(title, "number" if own else "") for title, own in zip(self.columns, numeric, strict=True)
        )


def _without_empty(table: Table, always: int) -> Table:
    """The table without the columns, behind the first so many, in which no row has anything."""
    kept = [
        place
        for place in range(len(table.columns))
        if place < always or any(row[place].text not in ("", NONE) for row in table.rows)
    ]
    rows = tuple(tuple(row[place] for place in kept) for row in table.rows)
    return Table(tuple(table.columns[place] for place in kept), rows)


def tables_of(story: RunStory) -> dict[str, Table]:
    """Return the tables by the part that they show, of those parts that have one and were recorded."""
    return {part: _without_empty(make(story), 1) for part, make in _TABLES.items() if story.has(part)}


def figure(value: float | None) -> str:
    """Return a figure as all tables show it.

    >>> figure(0.51234), figure(51.234), figure(None)
    ('0.512', '51.2', '–')
    """
    if value is None:
        return NONE
    return (
        f"{value:.1f}"
        if 10 <= abs(value) < 1000
        else f"{value:.4g}"
        if abs(value) >= 1000
        else f"{value:.3f}"
    )


def _results(story: RunStory) -> Table:
    tested = any(result.test for result in story.results)
    rows = []
    for result in story.results:
        for number, score in enumerate(_measured(result) or [NOT_MEASURED]):
            first = number == 0
            shown = _absent if score is NOT_MEASURED else figure
            rows.append(
                (
                    Cell(result.task if first else "", "name"),
                    Cell(score.metric.replace("_", " ")),
                    *_numbers(f"{result.rows:,}" if first and result.rows is not None else ""),
                    *_numbers(
                        _absent() if score.metric == LOSS else shown(score.constant), shown(score.before)
                    ),
                    Cell(shown(score.after), f"number {_tone(score.improved)}"),
                    *_numbers(_interval(score)),
                    *_numbers(*([shown(result.test.get(score.metric))] if tested else [])),
                    *_numbers(f"{result.seconds:,.1f}" if first and result.seconds is not None else ""),
                )
            )
    test = ("test",) if tested else ()
    return Table(
        ("task", "metric", "rows", "constant", "before", "after", "95 % interval", *test, "seconds"),
        tuple(rows),
    )


def _measured(result: TaskResult) -> list[Score]:
    """The scores that have a figure."""
    return [
        score
        for score in result.scores
        if any(value is not None for value in (score.before, score.after, result.test.get(score.metric)))
    ]


def _absent(_: float | None = None) -> str:
    """The cell of a figure that there cannot be."""
    return ""


def _interval(score: Score) -> str:
    return "" if score.low is None or score.high is None else f"{figure(score.low)} to {figure(score.high)}"


def _changes(story: RunStory) -> Table:
    place = {task: number for number, task in enumerate(task_changes(story.changes))}
    ordered = sorted(story.changes, key=lambda own: place.get(own.task, len(place)))
    rows = [
        (
            Cell(own.task, "name"),
            Cell(own.metric.replace("_", " ")),
            *_numbers(figure(own.single), figure(own.joint)),
            _change(own.relative),
        )
        for own in ordered
    ]
    rows.append(
        (Cell("mean over tasks", "name"), Cell("delta-p"), *_numbers("", ""), _change(delta_p(story.changes)))
    )
    return Table(("task", "metric", "alone", "together", "change"), tuple(rows))


def _change(relative: float | None) -> Cell:
    if relative is None:
        return Cell(NONE, "number")
    return Cell(f"{100 * relative:+.1f} %", f"number {_tone(relative > 0 if relative else None)}")


def _incidents(story: RunStory) -> Table:
    rows = [
        (
            Cell(own.task, "name"),
            *_numbers(f"{own.round:,}"),
            Cell(own.problem),
            Cell(", ".join(map(str, own.rows[:_MOST_ROWS])) + (" …" if len(own.rows) > _MOST_ROWS else "")),
            Cell(", ".join(filter(None, ("leaves the run" if own.quarantined else "", own.outcome))), "bad"),
        )
        for own in story.incidents or ()
    ]
    return Table(("task", "round", "problem", "rows", ""), tuple(rows))


_MOST_ROWS = 8


def _skipped(story: RunStory) -> Table:
    rows = [
        (Cell(task, "name"), Cell(split), Cell(reason), *_numbers(f"{count:,}"))
        for task, splits in story.skipped.items()
        for split, reasons in splits.items()
        for reason, count in reasons.items()
    ]
    return Table(("task", "split", "problem", "rows"), tuple(rows))


def _shares(story: RunStory) -> Table:
    rows = [
        (
            Cell(task, "name"),
            *_numbers(
                _count(own.steps), _count(own.examples), _percent(own.examples_share),
                _percent(own.planned_examples_share), _count(own.tokens), _percent(own.tokens_share),
                _percent(own.planned_tokens_share),
            ),
        )
        for task, own in story.shares.items()
    ]  # fmt: skip
    return Table(("task", "steps", "examples", "share", "planned", "tokens", "share", "planned"), tuple(rows))


def _count(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{100 * value:.1f} %"


def _numbers(*texts: str) -> Iterable[Cell]:
    return [Cell(text, "number") for text in texts]


def _tone(good: bool | None) -> str:
    return {True: "good", False: "bad", None: ""}[good]


_TABLES: Mapping[str, Callable[[RunStory], Table]] = {
    "results": _results,
    "changes": _changes,
    "incidents": _incidents,
    "skipped": _skipped,
    "shares": _shares,
}
