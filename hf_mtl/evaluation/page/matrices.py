"""The pictures of a run's page that are matrices of tasks by tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_mtl.evaluation.page.story import RunStory, main_score
from hf_mtl.evaluation.plots import new_figure, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["cosines_picture", "relations_picture", "short", "transfer_picture"]

WIDTH = 8.0  # inches, at most
LONGEST = 40  # characters of a name beside an axis
MOST_NUMBERED = 12  # tasks; with more, cells are too small for numbers


def short(name: str) -> str:
    """Return a name as it stands beside an axis: one that would leave no room for the axis loses its middle.

    >>> short("sentiment"), short("the same word again and again, until nothing else fits")
    ('sentiment', 'the same word again…l nothing else fits')
    """
    ends = (LONGEST - 1) // 2
    return plain(name if len(name) <= LONGEST else f"{name[:ends]}…{name[-ends:]}")


def relations_picture(story: RunStory) -> Figure:
    """The relations of the tasks."""
    assert story.relations is not None
    names = [short(name) for name in story.relations.names]
    return _heat(names, names, story.relations.values.tolist())


def cosines_picture(story: RunStory) -> Figure:
    """The mean cosines of the tasks' gradients."""
    assert story.cosines is not None
    names = [short(name) for name in story.cosines.names]
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
    labels = [f"{short(task)}\n{metrics[task].replace('_', ' ')}" for task in columns]
    return _heat([short(name) for name in rows], labels, colors, shown=shown)


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
    longest = max((len(line) for name in (*rows, *columns) for line in name.split("\n")), default=0)
    names = min(2.0, 0.3 + 0.08 * longest)  # inches, beside and under the cells
    cell = min(0.62, (WIDTH - 1.1 - names) / max(1, len(columns)))
    figure = new_figure(1.1 + names + cell * len(columns), 0.3 + 0.7 * names + 0.75 * cell * len(rows))
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
    axes.tick_params(length=0, labelsize=min(10.0, 50 * cell))
    axes.spines[:].set_visible(False)
    if max(len(rows), len(columns)) <= MOST_NUMBERED:
        for i, numbers in enumerate(shown or values):
            for j, number in enumerate(numbers):
                dark = math.isfinite(values[i][j]) and abs(values[i][j]) > 0.55
                text = "" if math.isnan(number) else f"{number:.2f}" if abs(number) < 10 else f"{number:.1f}"
                color = "#fefefe" if dark else "#111111" if math.isfinite(values[i][j]) else "black"
                axes.text(j, i, text, ha="center", va="center", fontsize=9, color=color)
    figure.colorbar(picture, ax=axes, shrink=0.9).outline.set_visible(False)
    return figure
