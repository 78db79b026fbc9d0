"""A comparison as a table in the terminal."""

from __future__ import annotations

import math

from rich import box
from rich.table import Table
from rich.text import Text

from hf_mtl.evaluation.comparison import ALONE, Comparison, Estimate

__all__ = ["comparison_table"]

CAPTION = (
    "Mean over seeds ± half of its 95 % interval. Change: against the same task trained alone, relative, the mean over "
    "tasks (delta-p); green and red where its interval leaves out 0. Parameters: all that are trained. A change within "
    "its interval is none."
)


def comparison_table(comparison: Comparison) -> Table:
    """A line per variant, a column per task's metric."""
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{comparison.name}, seeds {', '.join(map(str, comparison.seeds))}",
        caption=CAPTION,
        caption_justify="left",
        caption_style="dim",
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("variant", style="bold", overflow="fold")
    columns = [(task, metric) for task, own in comparison.greater_is_better.items() for metric in own]
    for task, metric in columns:
        table.add_column(Text(f"{task}\n{metric.replace('_', ' ')}"), justify="right")
    for title in ("change", "parameters", "seconds"):
        table.add_column(title, justify="right")
    for variant in comparison.variants:
        change = comparison.change(variant.name)
        table.add_row(
            Text(variant.name),
            *(comparison.score(variant.name, *column).text() for column in columns),
            "" if variant.name == ALONE else Text(_percent(change), style=_style(change)),
            f"{variant.parameters:,}",
            f"{sum(variant.seconds) / len(variant.seconds):,.0f}",
        )
    return table


def _percent(change: Estimate) -> str:
    if math.isnan(change.mean):
        return "–"
    return (
        Estimate(100 * change.mean, None if change.half is None else 100 * change.half).text("{:+.1f}") + " %"
    )


def _style(change: Estimate) -> str:
    if change.half is None or abs(change.mean) <= change.half:
        return ""
    return "bold green" if change.mean > 0 else "bold red"
