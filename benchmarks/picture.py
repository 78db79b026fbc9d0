"""Draw the picture of the README from benchmarks/results/together-61m-float32-k*.json.

python benchmarks/picture.py
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter
from together import RUNS, TOGETHER

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PICTURE = HERE.parent / "docs" / "images" / "together.png"

OURS, GREY, LIGHT = "#1f6feb", "#8c959f", "#c9d1d9"


class Point(NamedTuple):
    """What K tasks cost.

    Args:
        tasks: K.
        speedup: How many times as fast one run of all tasks is as K runs: the median over rounds.
        together_mib: Peak memory of the run of all tasks.
        one_run_mib: Peak memory of the largest of the K runs.
    """

    tasks: int
    speedup: float
    together_mib: float
    one_run_mib: float


def points(folder: Path = RESULTS) -> list[Point]:
    """The points of the picture, by K."""
    files = folder.glob("together-61m-float32-k*.json")
    return sorted(_point(json.loads(file.read_text(encoding="utf-8"))) for file in files)


def _point(result: dict[str, Any]) -> Point:  # Any: the JSON of a measurement
    together, runs = (result["entries"][label] for label in (TOGETHER, RUNS))
    pairs = zip(together["samples"], runs["samples"], strict=True)
    return Point(
        together["spec"]["tasks"],
        statistics.median(_seconds(b) / _seconds(a) for a, b in pairs),
        max(sample["peak_mib"] for sample in together["samples"]),
        max(sample["peak_mib"] for sample in runs["samples"]),
    )


def _seconds(sample: dict[str, float]) -> float:
    return sample["seconds"] + sample["optimizer_seconds"]


def draw(drawn: list[Point], file: Path) -> None:
    """Write the picture: time on the left, memory on the right."""
    figure = Figure(figsize=(9.6, 3.3), dpi=160, layout="constrained")
    time, memory = figure.subplots(1, 2)
    names = [str(point.tasks) for point in drawn]
    places = range(len(drawn))
    time.bar(places, [point.speedup for point in drawn], color=OURS, width=0.6)
    for place, point in zip(places, drawn, strict=True):
        time.annotate(f"{point.speedup:.2f}×", (place, point.speedup), ha="center", va="bottom", fontsize=9)
    time.axhline(1, color=GREY, linewidth=1.2)
    time.set_title("Speed of one joint run of K tasks (K runs of plain PEFT = 1)", fontsize=10, loc="left")
    memory.plot(
        places,
        [p.tasks * p.one_run_mib / 1024 for p in drawn],
        "o--",
        color=GREY,
        label="K runs at once: K times the largest",
    )
    memory.plot(
        places, [p.one_run_mib / 1024 for p in drawn], "o-", color=LIGHT, label="K runs, one after the other"
    )
    memory.plot(
        places, [p.together_mib / 1024 for p in drawn], "o-", color=OURS, label="one joint run (hf_mtl)"
    )
    memory.set_yscale("log", base=2)
    memory.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    memory.set_title("Peak memory, GiB", fontsize=10, loc="left")
    memory.legend(fontsize=8, frameon=False)
    for axes in (time, memory):
        _plain(axes, names)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Software": None})


def _plain(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_xlabel("tasks (K)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def main() -> None:
    drawn = points()
    draw(drawn, PICTURE)
    for point in drawn:
        print(
            f"K = {point.tasks}: {point.speedup:.2f} times the speed, {point.together_mib:.0f} MiB against "
            f"{point.one_run_mib:.0f} for one run"
        )


if __name__ == "__main__":
    main()
