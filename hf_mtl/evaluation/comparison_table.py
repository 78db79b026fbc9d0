"""A comparison as a table in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hf_mtl.evaluation.comparison import ALONE, Comparison, Estimate, Variant
from hf_mtl.evaluation.fitted_table import SHORTEST_NAME, UNBOUNDED
from hf_mtl.short_names import short_names
from hf_mtl.terminal import plain

__all__ = ["comparison_table"]

CAPTION = (
    "Mean over seeds ± half of its 95 % interval. Change: against the same task trained alone, relative, the mean over "
    "tasks (delta-p); green and red where its interval leaves out 0. Parameters: all that are trained. A change within "
    "its interval may be chance."
)
LONGEST_VARIANT = 20  # cells of its name over a column


def comparison_table(comparison: Comparison) -> ComparisonTable:
    """A line per variant and a column per task's metric; where that is too wide, the other way round."""
    return ComparisonTable(comparison)


@final
class ComparisonTable:
    """The table, which finds its form when it is printed.

    Args:
        comparison: What it shows.
    """

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._columns = [(task, key) for task, own in comparison.greater_is_better.items() for key in own]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table for this width."""

        def room(table: Table) -> int:
            return (
                options.max_width - Measurement.get(console, options.update_width(UNBOUNDED), table).maximum
            )

        whole = self._by_variant()
        if room(whole) >= 0:
            yield whole
            return
        variants = list(self._comparison.variants)
        while variants:  # as many variants beside each other as fit, at least one
            count = len(variants)
            while count > 1 and room(self._by_task(variants[:count], SHORTEST_NAME)) < SHORTEST_NAME:
                count -= 1
            part, variants = variants[:count], variants[count:]
            width = SHORTEST_NAME + room(self._by_task(part, SHORTEST_NAME))
            yield self._by_task(part, max(SHORTEST_NAME, width), last=not variants)

    def _by_variant(self) -> Table:
        table = self._empty("variant")
        for task, metric in self._columns:
            table.add_column(plain(f"{task}\n{metric.replace('_', ' ')}"), justify="right", no_wrap=True)
        for title in ("change", "parameters", "seconds"):
            table.add_column(title, justify="right", no_wrap=True)
        for variant in self._comparison.variants:
            scores = (self._comparison.score(variant.name, *column).text() for column in self._columns)
            table.add_row(plain(variant.name), *scores, *self._whole(variant))
        return table

    def _by_task(self, variants: Sequence[Variant], width: int, *, last: bool = True) -> Table:
        table = self._empty("task", caption=last)
        several = len({metric for _, metric in self._columns}) > 1
        if several:
            table.add_column("metric", no_wrap=True)
        titles = short_names([variant.name for variant in self._comparison.variants], LONGEST_VARIANT)
        for variant in variants:
            table.add_column(plain(titles[variant.name]), justify="right", no_wrap=True)
        names = short_names([task for task, _ in self._columns], width)
        before = ""
        for number, (task, metric) in enumerate(self._columns, start=1):
            scores = (self._comparison.score(variant.name, task, metric).text() for variant in variants)
            name, before = "" if task == before else names[task], task
            middle = (plain(metric.replace("_", " ")),) if several else ()
            table.add_row(plain(name), *middle, *scores, end_section=number == len(self._columns))
        for title, cells in zip(
            ("change", "parameters", "seconds"), zip(*map(self._whole, variants), strict=True), strict=True
        ):
            table.add_row(title, *([""] if several else []), *cells)
        return table

    def _whole(self, variant: Variant) -> tuple[Text | str, str, str]:
        """What is said of a variant over all tasks: change, parameters, seconds."""
        change = self._comparison.change(variant.name)
        return (
            "" if variant.name == ALONE else Text(_percent(change), style=_style(change)),
            f"{variant.parameters:,}",
            f"{sum(variant.seconds) / len(variant.seconds):,.0f}",
        )

    def _empty(self, first: str, *, caption: bool = True) -> Table:
        table = Table(
            box=box.SIMPLE_HEAD,
            title=plain(f"{self._comparison.name}, seeds {', '.join(map(str, self._comparison.seeds))}"),
            caption=CAPTION if caption else None,
            caption_justify="left",
            caption_style="dim",
            pad_edge=False,
            collapse_padding=True,
        )
        table.add_column(first, style="bold", no_wrap=True)
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
