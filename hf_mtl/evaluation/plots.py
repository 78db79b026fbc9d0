"""Pictures of a run: the training loss of every task over the rounds.

    plot_losses(trainer.state.log_history, suite.names, "runs/quickstart/losses.png")

Needs matplotlib: `pip install 'hf-mtl[plots]'`. No window opens, and matplotlib's global settings stay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hf_mtl.errors import ConfigError
from hf_mtl.evaluation.report import LossPoint, losses_by_task
from hf_mtl.packages import MATPLOTLIB

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
    "new_figure",
    "plain",
    "plot_losses",
]

# Okabe and Ito (2008): colours that colour-blind readers can tell apart. Their yellow is too pale for a line.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# After the last colour the line style changes: 7 x 5 lines that differ.
DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))

CROWDED = 8  # more tasks than this, and the legend moves beside the axes
LEGEND_ROWS = 18
LOG_SCALE_RATIO = 20.0  # from this ratio of largest to smallest loss on, the axis is logarithmic
SIZE = (8.0, 4.5)  # inches
DPI = 150

NO_PICTURES = f"Pictures are left out; they need matplotlib: pip install '{MATPLOTLIB.install}'"


def can_draw() -> bool:
    """Whether there is what pictures are drawn with; who leaves them out says `NO_PICTURES`, once."""
    return MATPLOTLIB.is_here()


def plot_losses(log_history: Sequence[Mapping[str, float]], tasks: Sequence[str], path: str | Path) -> None:
    """Write a PNG with one line per task: the logged losses, thin, and their running mean, bold.

    Args:
        log_history: `trainer.state.log_history`.
        tasks: The tasks' names, in the legend's order.
        path: Where to write; the folder must exist.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    losses = {task: points for task, points in losses_by_task(log_history, tasks).items() if points}
    columns = math.ceil(len(losses) / LEGEND_ROWS) if len(losses) > CROWDED else 0
    figure = new_figure(SIZE[0] + 2.2 * columns, SIZE[1])
    axes = figure.add_subplot()
    for index, (task, points) in enumerate(losses.items()):
        draw_curve(axes, index, task, points, crowded=len(losses) > CROWDED)
    decorate(axes, losses, "training loss")
    figure.savefig(path, format="png")


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
    axes: Axes, index: int, task: str, points: Sequence[LossPoint], *, crowded: bool, smooth: bool = True
) -> None:
    """Draw the points of a task, thin, and their running mean, bold; the index gives colour and dashes."""
    rounds = [step for step, _ in points]
    values = [loss for _, loss in points]
    color = PALETTE[index % len(PALETTE)]
    dashes = DASHES[index // len(PALETTE) % len(DASHES)]
    # A NaN leaves a gap in the thin line; the bold one bridges it, else its whole window would be a gap.
    finite = [(step, loss) for step, loss in points if math.isfinite(loss)]
    window = _window(len(finite)) if smooth else 1
    means = running_mean([loss for _, loss in finite], window)
    axes.plot(rounds, values, color=color, linewidth=0.6, alpha=0.12 if crowded else 0.3)
    marker = "o" if len(finite) == 1 else ""
    steps = [step for step, _ in finite]
    width = 1.5 if crowded else 2.2
    axes.plot(steps, means, color=color, linestyle=dashes, linewidth=width, marker=marker, label=plain(task))


def _window(count: int) -> int:
    """Return over how many points to average: an odd number, about a tenth of all, and 1 for short runs."""
    return max(1, count // 10) | 1


def plain(task: str) -> str:
    """Return a name as matplotlib shows it unchanged."""
    # A leading underscore hides a legend entry, and dollar signs start a formula.
    text = task.replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def decorate(
    axes: Axes,
    losses: Mapping[str, Sequence[LossPoint]],
    label: str,
    *,
    log: bool = True,
    legend: bool = True,
) -> None:
    """Scale the axes to the curves (by `log` also to a logarithm), name them, and give them a legend."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    values = [loss for points in losses.values() for _, loss in points if math.isfinite(loss)]
    if log and values and min(values) > 0 and max(values) / min(values) > LOG_SCALE_RATIO:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0 if not values or min(values) >= 0 else None)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("round")
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    if not losses:
        axes.text(0.5, 0.5, "no losses were logged", transform=axes.transAxes, ha="center", color="0.4")
    elif not legend:
        return
    elif len(losses) <= CROWDED:
        axes.legend(frameon=False)
    else:
        columns = math.ceil(len(losses) / LEGEND_ROWS)
        axes.legend(
            frameon=False,
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            ncols=columns,
            borderaxespad=0,
            fontsize=9,
        )
