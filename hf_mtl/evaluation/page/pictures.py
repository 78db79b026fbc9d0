"""The pictures of a run's page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from hf_mtl.evaluation.highlights import highlights
from hf_mtl.evaluation.page.comparison import task_changes
from hf_mtl.evaluation.page.matrices import cosines_picture, relations_picture, short, transfer_picture
from hf_mtl.evaluation.page.story import Curves, Points, RunStory, main_score
from hf_mtl.evaluation.plots import (
    CROWDED,
    PALETTE,
    decorate,
    draw_curve,
    draw_faint,
    new_figure,
    others,
    plain,
)
from hf_mtl.evaluation.report import Score
from hf_mtl.short_names import short_names, widest

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["pictures_of"]

WIDTH = 8.0  # inches, of every picture
PANEL = 3.2  # inches, the height of one panel of curves
LINE, THIN_LINE = 0.34, 0.2  # inches, the height of one task in a list of few and of many
LEGEND_COLUMNS = 4  # at most
LEGEND_NAME = 30  # cells
GAIN, LOSS_COLOR, FAINT = PALETTE[0], PALETTE[1], "0.6"


def pictures_of(story: RunStory) -> dict[str, Figure]:
    """Draw a picture of each part that has one and was recorded.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    return {part: draw(story) for part, draw in _PICTURES.items() if story.has(part)}


def _results(story: RunStory) -> Figure:
    by_metric: dict[str, list[tuple[str, Score]]] = {}
    for result in story.results:
        score = main_score(result)
        if score is not None and (score.after is not None or score.before is not None):
            by_metric.setdefault(score.metric, []).append((result.task, score))
    panels = list(by_metric.values()) or [[]]
    figure = new_figure(WIDTH, 1.0 + sum(0.75 + _line(len(story.results)) * len(own) for own in panels))
    grid = figure.subplots(
        len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": [2 + len(own) for own in panels]}
    )
    for axes, (metric, own) in zip(grid[:, 0], by_metric.items(), strict=False):
        for line, (_, score) in enumerate(own):
            _draw_score(axes, line, score)
        _list(axes, [task for task, _ in own], metric.replace("_", " "))
    handles = {
        label: handle
        for axes in grid[:, 0]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=4, frameon=False)
    return figure


def _draw_score(axes: Axes, line: int, score: Score) -> None:
    if score.low is not None and score.high is not None:
        axes.plot(
            [score.low, score.high], [line, line], color=GAIN, linewidth=5, alpha=0.35,
            solid_capstyle="butt", label="95 % interval",
        )  # fmt: skip
    if score.constant is not None:
        axes.plot(score.constant, line, "|", color="black", markersize=14, label="constant")
    if score.before is not None:
        axes.plot(score.before, line, "o", color=FAINT, markersize=6, fillstyle="none", label="before")
    if score.after is not None:
        axes.plot(score.after, line, "o", color=GAIN, markersize=7, label="after")


def _changes(story: RunStory) -> Figure:
    means = task_changes(story.changes)
    figure = new_figure(WIDTH, 1.0 + _line(len(means)) * max(1, len(means)))
    axes = figure.add_subplot()
    values = [100 * value for value in means.values()]
    colors = [GAIN if value > 0 else LOSS_COLOR for value in values]
    axes.barh(range(len(values)), values, color=colors, height=0.62)
    for line, value in enumerate(values):
        axes.annotate(
            f"{value:+.1f}", (value, line), xytext=(4 if value >= 0 else -4, 0), va="center", fontsize=9,
            textcoords="offset points", ha="left" if value >= 0 else "right",
        )  # fmt: skip
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.12)
    _list(axes, list(means), "change against training alone, %")
    return figure


def _losses(story: RunStory) -> Figure:
    return _curves(story.tasks, {"training loss": story.losses}, smooth=True)


def _evaluations(story: RunStory) -> Figure:
    panels = {metric.replace("_", " "): curves for metric, curves in story.evaluations.items()}
    return _curves(story.tasks, panels)


def _learning_rates(story: RunStory) -> Figure:
    if len(story.learning_rates) > CROWDED:
        return _curves((), {"learning rate": _merged(story.learning_rates)})
    return _curves((*story.tasks, *story.learning_rates), {"learning rate": story.learning_rates})


def _merged(curves: Curves) -> Curves:
    """The curves that differ, each with the first of its names and the number of the others."""
    owners: dict[Points, list[str]] = {}
    for name, points in curves.items():
        owners.setdefault(points, []).append(name)
    short_firsts = short_names([names[0] for names in owners.values()], LEGEND_NAME - len(" and 99 more"))
    return {
        short_firsts[names[0]] + (f" and {len(names) - 1} more" if len(names) > 1 else ""): points
        for points, names in owners.items()
    }


def _loss_weights(story: RunStory) -> Figure:
    return _curves(story.tasks, {"weight of the loss": story.loss_weights})


def _throughput(story: RunStory) -> Figure:
    panels = {"tokens per second": story.throughput, "share of padding": story.padding}
    drawn = {label: {label: points} for label, points in panels.items() if points}
    return _curves((), drawn, smooth=True, legend=False)


def _curves(
    order: Sequence[str], panels: Mapping[str, Curves], *, smooth: bool = False, legend: bool = True
) -> Figure:
    """One panel per label, two beside each other; a task looks the same in all of them."""
    every = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    shown = highlights(every, panels.values())
    looked = shown if len(shown) < len(every) else tuple(dict.fromkeys((*order, *shown)))
    looks = {name: number if legend else 0 for number, name in enumerate(looked)}
    names = short_names(every, LEGEND_NAME)
    beside = _legend_columns([names[name] for name in shown])
    lines = math.ceil((len(shown) + 1) / beside) if legend else 0
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(WIDTH, PANEL * rows + 0.22 * lines + 0.2)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles: dict[str, Artist] = {}
    for axes, (label, curves) in zip(grid, panels.items(), strict=False):
        for name in (name for name in shown if name in curves):
            draw_curve(axes, looks[name], names[name], curves[name], smooth=smooth)
        rest = [points for name, points in curves.items() if name not in shown]
        draw_faint(axes, rest, smooth=smooth)
        decorate(axes, curves, label, log=smooth and legend)
        found, texts = axes.get_legend_handles_labels()
        handles |= dict(zip(texts, found, strict=True))
        if rest:
            grey = axes.get_lines()[-1]
    if legend and handles:
        if len(shown) < len(every):
            handles[others(len(every) - len(shown))] = grey
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=beside, frameon=False
        )
    return figure


def _legend_columns(names: Sequence[str]) -> int:
    """How many names fit beside each other, each with its line."""
    return max(1, min(LEGEND_COLUMNS, int(WIDTH / (0.7 + 0.09 * widest(names)))))


def _shares(story: RunStory) -> Figure:
    own = list(story.shares.values())
    units: dict[str, tuple[list[float | None], list[float | None]]] = {
        "examples": (
            [share.examples_share for share in own],
            [share.planned_examples_share for share in own],
        ),
        "tokens": ([share.tokens_share for share in own], [share.planned_tokens_share for share in own]),
    }
    known = {unit: both for unit, both in units.items() if any(value is not None for value in both[0])}
    figure = new_figure(WIDTH, 1.0 + _line(len(own)) * len(own))
    for number, (unit, (actual, planned)) in enumerate(known.items(), start=1):
        axes = figure.add_subplot(1, len(known), number)
        axes.barh(range(len(own)), [100 * (value or 0.0) for value in actual], color=PALETTE[5], height=0.62)
        for line, value in enumerate(planned):
            if value is not None:
                axes.plot(100 * value, line, "|", color="black", markersize=14, label="planned")
        _list(axes, list(story.shares), f"% of the {unit}")
        if number > 1:
            axes.set_yticklabels([])
    return figure


def _line(count: int) -> float:
    """The height of a line, in inches, in a list of so many."""
    return LINE if count <= CROWDED else THIN_LINE


def _list(axes: Axes, names: Sequence[str], label: str) -> None:
    """Name the lines of a list, the first one at the top."""
    axes.set_yticks(range(len(names)), short(names), fontsize=10 if len(names) <= CROWDED else 8)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(plain(label))
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(visible=True, axis="x", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)


_PICTURES: Mapping[str, Callable[[RunStory], Figure]] = {
    "results": _results,
    "changes": _changes,
    "losses": _losses,
    "evaluations": _evaluations,
    "relations": relations_picture,
    "cosines": cosines_picture,
    "transfer": transfer_picture,
    "shares": _shares,
    "loss_weights": _loss_weights,
    "learning_rates": _learning_rates,
    "throughput": _throughput,
}
