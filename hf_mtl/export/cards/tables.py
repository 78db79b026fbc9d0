"""The tables of a card."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hf_mtl.export.cards.escaping import Verbatim, code, escaped, table
from hf_mtl.export.cards.facts import Figure, Setting, SplitNumbers, SuiteFacts, TaskFacts
from hf_mtl.export.cards.phrases import metric_name

__all__ = [
    "data_table",
    "label_counts",
    "results_table",
    "samples_table",
    "settings_table",
    "suite_results_table",
]

NONE = "–"
_SHOWN_LABELS = 20
_SHOWN_COLUMNS = 6


def results_table(task: TaskFacts) -> Verbatim:
    """A line per metric: the base before training, the adapter with its interval, and what else was measured."""
    ways = list(dict.fromkeys(way for figure in task.figures for way in figure.over_seeds))
    columns = [
        ("best constant answer", [number(figure.constant) for figure in task.figures]),
        ("before training", [number(figure.before) for figure in task.figures]),
        ("trained alone", [number(figure.alone) for figure in task.figures]),
        ("this adapter", [_strong(figure.value) for figure in task.figures]),
        ("95 % interval", [interval(figure) for figure in task.figures]),
        ("test rows", [number(figure.test) for figure in task.figures]),
        *(
            (f"{way}, over seeds", [figure.over_seeds.get(way, NONE) for figure in task.figures])
            for way in ways
        ),
    ]
    shown = [(title, cells) for title, cells in columns if any(cell != NONE for cell in cells)]
    rows = [
        [metric_name(figure.metric), *(cells[place] for _, cells in shown)]
        for place, figure in enumerate(task.figures)
    ]
    titles = ["metric", *(title for title, _ in shown)]
    return table(titles, rows, right=range(1, len(titles)))


def suite_results_table(facts: SuiteFacts, links: Sequence[Verbatim]) -> Verbatim:
    """A line per task: its adapter and its main figure."""
    rows = []
    for task, link in zip(facts.tasks, links, strict=True):
        main = next(iter(task.figures), None)
        rows.append(
            [
                link,
                task.kind,
                NONE if main is None else metric_name(main.metric),
                NONE if main is None else number(main.constant),
                NONE if main is None else number(main.before),
                NONE if main is None else _strong(main.value),
                NONE if main is None else interval(main),
            ]
        )
    titles = ["task", "kind", "metric", "best constant answer", "before training", "after", "95 % interval"]
    return table(titles, rows, right=range(3, len(titles)))


def data_table(task: TaskFacts) -> Verbatim | None:
    """A line per split, with the columns that anything is known for; None where nothing was counted."""
    counted = [(rows.split, rows.numbers) for rows in task.rows if rows.numbers is not None]
    if not counted:
        return None
    shown = [
        (title, values)
        for title, values in _columns([numbers for _, numbers in counted])
        if title == "rows" or any(values)
    ]
    rows = [
        [split, *(NONE if values[place] is None else f"{values[place]:,}" for _, values in shown)]
        for place, (split, _) in enumerate(counted)
    ]
    return table(["split", *(title for title, _ in shown)], rows, right=range(1, len(shown) + 1))


def _columns(numbers: Sequence[SplitNumbers]) -> Iterable[tuple[str, list[int | None]]]:
    yield "rows", [own.rows for own in numbers]
    yield "tokens", [own.tokens for own in numbers]
    yield "longest row, in tokens", [own.longest for own in numbers]
    yield "rows that do not fit whole", [own.truncated for own in numbers]
    yield "rows without a label", [own.unlabelled for own in numbers]


def label_counts(task: TaskFacts) -> Verbatim | None:
    """The labels of the training rows with their counts, the most frequent first; None where there are none."""
    train = next((rows.numbers for rows in task.rows if rows.split == "train" and rows.numbers), None)
    if train is None or not train.labels:
        return None
    by_count = sorted(train.labels.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{code(label)} {count:,}" for label, count in by_count[:_SHOWN_LABELS])
    more = len(by_count) - _SHOWN_LABELS
    return Verbatim(shown + (f" and {more} more" if more > 0 else ""))


def samples_table(task: TaskFacts) -> Verbatim | None:
    """Some rows; None where none may be shown."""
    if not task.samples:
        return None
    columns = list(dict.fromkeys(column for row in task.samples for column in row))[:_SHOWN_COLUMNS]
    return table(columns, [[row.get(column, "") for column in columns] for row in task.samples])


def settings_table(settings: Sequence[Setting]) -> Verbatim:
    """A line per setting."""
    return table(
        ["setting", "value", "default"],
        [
            [code(own.name), code(own.value), NONE if own.default is None else code(own.default)]
            for own in settings
        ],
    )


def number(value: float | None) -> str:
    """A figure: three digits behind the point, fewer of large ones."""
    if value is None:
        return NONE
    if not math.isfinite(value):
        return "no number" if math.isnan(value) else "∞" if value > 0 else "-∞"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def interval(figure: Figure) -> str:
    """The 95 % interval."""
    if figure.low is None or figure.high is None:
        return NONE
    return f"{number(figure.low)} to {number(figure.high)}"


def _strong(value: float | None) -> str:
    return NONE if value is None else Verbatim(f"**{escaped(number(value))}**")
