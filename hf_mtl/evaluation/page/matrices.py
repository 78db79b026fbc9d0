"""The pictures of a run's page that are matrices of tasks by tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_mtl.evaluation.page.story import RunStory, main_score
from hf_mtl.evaluation.plots import new_figure, plain
from hf_mtl.short_names import short_names, widest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["cosines_picture", "relations_picture", "short", "transfer_picture"]

WIDTH = 8.0  # inches, at most
LONGEST = 40  # cells of a name beside an axis
SMALLEST = 0.12  # inches of a cell, so that the names beside it can be read
MOST_NUMBERED = 12  # tasks; with more, cells are too small for numbers


def short(names: Sequence[str]) -> list[str]:
    """Return names as they stand beside an axis: cut where they would leave no room for it.

    >>> short(["sentiment", "the same word again and again, until nothing else fits"])
    ['sentiment', 'the same word agai…til nothing else fits']
    """
    shown = short_names(names, LONGEST)
    return [plain(shown[name]) for name in names]


def relations_picture(story: RunStory) -> Figure:
    """The relations of the tasks."""
    assert story.relations is not None
    names = short(story.relations.names)
    return _heat(names, names, story.relations.values.tolist())


def cosines_picture(story: RunStory) -> Figure:
    """The mean cosines of the tasks' gradients."""
    assert story.cosines is not None
    names = short(story.cosines.names)
    return _heat(names, names, story.cosines.values.tolist())


def transfer_picture(story: RunStory) -> Figure:
    """What each task's adapter gives for each task.

    Each column has its own metric, so colours compare it with the column's own adapter.
    """
    metrics, upwards = _metrics_of(story)
    rows, columns = list(story.transfer), list(metrics)
    shown, colors = [], []
    for trained in rows:
        figures = [story.transfer[trained].get(task, {}).get(metrics[task]) for task in columns]
        own = [story.transfer.get(task, {}).get(task, {}).get(metrics[task]) for task in columns]
        shown.append([math.nan if value is None else value for value in figures])
        colors.append(
            [
                math.nan if value is None or base is None or base == 0 else
                (value - base) / abs(base) * (1 if upwards[task] else -1)
                for task, value, base in zip(columns, figures, own, strict=True)
            ]
        )  # fmt: skip
    keys = {metrics[task] for task in columns} if len(columns) > MOST_NUMBERED else set()
    names = short(columns)
    labels = [
        name if len(keys) == 1 else f"{name}\n{metrics[task].replace('_', ' ')}"
        for name, task in zip(names, columns, strict=True)
    ]
    return _heat(short(rows), labels, colors, shown=shown)


def _metrics_of(story: RunStory) -> tuple[dict[str, str], dict[str, bool]]:
    """For each measured task the metric that is shown, and whether larger is better."""
    mains = {result.task: score for result in story.results if (score := main_score(result)) is not None}
    measured = dict.fromkeys(task for figures in story.transfer.values() for task in figures)
    metrics, upwards = {}, {}
    for task in measured:
        keys = [key for figures in story.transfer.values() for key in figures.get(task, {})]
        if not keys:
            continue
        known = mains[task] if task in mains and mains[task].metric in keys else None
        metrics[task] = known.metric if known else keys[0]
        upwards[task] = known.greater_is_better if known else metrics[task] != "loss"
    return metrics, upwards


def _heat(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    shown: Sequence[Sequence[float]] | None = None,
) -> Figure:
    """A matrix as colours, blue above 0 and red below, with its numbers where there is room."""
    longest = widest(line for name in (*rows, *columns) for line in name.split("\n"))
    names = min(2.0, 0.3 + 0.08 * longest)  # inches, beside and under the cells
    numbered = max(len(rows), len(columns)) <= MOST_NUMBERED
    cell = min(0.62, max(SMALLEST, (WIDTH - 1.1 - names) / max(1, len(columns))))
    line = 0.75 * cell if numbered else cell
    size = min(10.0, 50 * cell)  # points, of names
    under = 0.7 * names if len(columns) <= MOST_NUMBERED else 0.1 + 0.6 * size / 72 * longest
    figure = new_figure(1.1 + names + cell * len(columns), 0.3 + under + line * len(rows))
    axes = figure.add_subplot()
    picture = axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_xticks(
        range(len(columns)),
        columns,
        rotation=35 if len(columns) <= MOST_NUMBERED else 90,
        ha="right",
        va="center" if len(columns) > MOST_NUMBERED else "top",
        rotation_mode="anchor",
    )
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, labelsize=size)
    axes.spines[:].set_visible(False)
    if numbered:
        for i, numbers in enumerate(shown or values):
            for j, number in enumerate(numbers):
                dark = math.isfinite(values[i][j]) and abs(values[i][j]) > 0.55
                text = "" if math.isnan(number) else f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"
                color = "#fefefe" if dark else "#111111" if math.isfinite(values[i][j]) else "black"
                axes.text(j, i, text, ha="center", va="center", fontsize=9, color=color)
    figure.colorbar(picture, ax=axes, shrink=0.9).outline.set_visible(False)
    return figure
