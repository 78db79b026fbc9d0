"""Pictures of a run: the training loss of every task over the rounds.

With many tasks those that end highest and lowest have colours and names, and the others are thin and grey.

    plot_losses(trainer.state.log_history, suite.names, "runs/quickstart/losses.png")

Needs matplotlib: `pip install 'hf-mtl[plots]'`. No window opens, and matplotlib's global settings stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hf_mtl.errors import ConfigError
from hf_mtl.evaluation.fitted_table import CROWDED
from hf_mtl.evaluation.glyphs import save_pngs
from hf_mtl.evaluation.highlights import highlights
from hf_mtl.evaluation.report import LossPoint, losses_by_task
from hf_mtl.packages import MATPLOTLIB
from hf_mtl.printable import printable
from hf_mtl.short_names import short_names, widest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "CROWDED",
    "NO_PICTURES",
    "PALETTE",
    "can_draw",
    "decorate",
    "draw_curve",
    "draw_faint",
    "new_figure",
    "others",
    "plain",
    "plot_losses",
]

# Okabe and Ito (2008): colours that colour-blind readers can tell apart. Their yellow is too pale for a line.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# After the last colour the line style changes: 7 x 5 lines that differ.
DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))

LOG_SCALE_RATIO = 20.0  # from this ratio of largest to smallest loss on, the axis is logarithmic
ONLY_DECADES = 300.0  # from this ratio on, a logarithmic axis names the powers of ten only
NAME_WIDTH = 36  # longer names are cut in a legend
FAINT = "0.75"
SIZE = (8.0, 4.5)  # inches
DPI = 150

NO_PICTURES = f"Pictures are left out; they need matplotlib: pip install '{MATPLOTLIB.install}'"


def can_draw() -> bool:
    """Whether there is what pictures are drawn with; who leaves them out says `NO_PICTURES`, once."""
    return MATPLOTLIB.is_here()


def plot_losses(log_history: Sequence[Mapping[str, float]], tasks: Sequence[str], path: str | Path) -> None:
    """Write a PNG with one line per task: the logged losses, thin, and their running mean, bold.

    More than eight tasks would be a tangle: then four that end highest and four that end lowest are drawn so, and the
    running means of the others in grey.

    Args:
        log_history: `trainer.state.log_history`.
        tasks: The tasks' names, in the legend's order.
        path: Where to write; the folder must exist.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    losses = {task: points for task, points in losses_by_task(log_history, tasks).items() if points}
    shown = highlights(losses, [losses])
    names = short_names(losses, NAME_WIDTH)
    beside = len(losses) > CROWDED or widest(names.values()) > NAME_WIDTH // 2
    figure = new_figure(
        SIZE[0] + (0.6 + 0.09 * widest(names[task] for task in shown) if beside else 0), SIZE[1]
    )
    axes = figure.add_subplot()
    for index, task in enumerate(shown):
        draw_curve(axes, index, names[task], losses[task])
    rest = [points for task, points in losses.items() if task not in shown]
    draw_faint(axes, rest)
    decorate(axes, losses, "training loss")
    handles, labels = axes.get_legend_handles_labels()
    if rest:
        half = len(handles) // 2  # in the order of the lines' ends: the highest, the others, the lowest
        handles.insert(half, axes.get_lines()[-1])
        labels.insert(half, others(len(rest)))
    if losses and beside:
        figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9)
    elif losses:
        axes.legend(handles, labels, frameon=False)
    save_pngs({path: figure})


def others(count: int) -> str:
    """What a legend says of the grey lines."""
    return "1 other task" if count == 1 else f"{count} other tasks"


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Return the mean over the `window` values around each one.

    At the start, where losses fall steeply, the window shrinks on both sides so that the mean is not pulled
    down; at the end, where they are flat, it is cut off.
    """
    half = window // 2
    parts = (values[max(0, index - half) : index + min(half, index) + 1] for index in range(len(values)))
    return [math.fsum(part) / len(part) for part in parts]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, which no window shows.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            "Plots need matplotlib, which is not installed. Install it with: pip install 'hf-mtl[plots]'"
        ) from error
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_curve(
    axes: Axes, index: int, task: str, points: Sequence[LossPoint], *, smooth: bool = True
) -> None:
    """Draw the points of a task, thin, and their running mean, bold; the index gives colour and dashes."""
    rounds = [step for step, _ in points]
    values = [loss for _, loss in points]
    color = PALETTE[index % len(PALETTE)]
    dashes = DASHES[index // len(PALETTE) % len(DASHES)]
    axes.plot(rounds, values, color=color, linewidth=0.6, alpha=0.3)
    steps, means = _means(points, smooth)
    marker = "o" if len(steps) == 1 else ""
    axes.plot(steps, means, color=color, linestyle=dashes, linewidth=2.2, marker=marker, label=plain(task))
    if steps and steps[-1] < rounds[-1]:  # it ended with something that is no number
        axes.plot(steps[-1:], means[-1:], "x", color=color, markersize=8, markeredgewidth=2)


def draw_faint(axes: Axes, curves: Sequence[Sequence[LossPoint]], *, smooth: bool = True) -> None:
    """Draw the running means of the curves that do not stand out, behind those that do."""
    for points in curves:
        steps, means = _means(points, smooth)
        marker = "." if len(steps) == 1 else ""
        axes.plot(steps, means, color=FAINT, linewidth=0.8, marker=marker, zorder=1.5)


def _means(points: Sequence[LossPoint], smooth: bool) -> tuple[list[int], list[float]]:
    """The running mean of the finite points: a gap would make gaps of all means around it."""
    finite = [(step, loss) for step, loss in points if math.isfinite(loss)]
    window = _window(len(finite)) if smooth else 1
    return [step for step, _ in finite], running_mean([loss for _, loss in finite], window)


def _window(count: int) -> int:
    """Return over how many points to average: an odd number, about a tenth of all, and 1 for short runs."""
    return max(1, count // 10) | 1


def plain(task: str) -> str:
    """Return a name as matplotlib shows it unchanged."""
    # A leading underscore hides a legend entry, and dollar signs start a formula.
    text = printable(task, kept="").replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def decorate(axes: Axes, losses: Mapping[str, Sequence[LossPoint]], label: str, *, log: bool = True) -> None:
    """Scale the axes to the curves (by `log` also to a logarithm), and name them."""
    from matplotlib.ticker import MaxNLocator

    values = [loss for points in losses.values() for _, loss in points if math.isfinite(loss)]
    if values:
        _fit(axes, min(values), max(values), log=log)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("round")
    axes.set_ylabel(plain(label))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    if not losses:
        axes.text(0.5, 0.5, "no losses were logged", transform=axes.transAxes, ha="center", color="0.4")


def _fit(axes: Axes, low: float, high: float, *, log: bool) -> None:
    """Scale an axis to what it shows: logarithmic for a wide range, and with 0 only where 0 is near."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if log and low > 0 and high / low > LOG_SCALE_RATIO:
        axes.set_yscale("log")
        wide = high / low > ONLY_DECADES
        axes.yaxis.set_major_locator(LogLocator() if wide else LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        margin = (high / low) ** 0.05
        axes.set_ylim(low / margin, high * margin)
        return
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    from_zero = 0 <= low < (high - low)
    axes.set_ylim(0 if from_zero else low - margin, high + margin)
