"""The plot of losses: a readable PNG for any number of tasks and any names, with no global state touched."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from hf_mtl.errors import ConfigError
from hf_mtl.evaluation.plots import plot_losses, running_mean

Logs = list[dict[str, float]]


def logs(tasks: list[str], rounds: int = 40) -> Logs:
    return [
        {"step": step, "loss": 1.0, **{f"{task}/loss": 3 / step + index for index, task in enumerate(tasks)}}
        for step in range(1, rounds + 1)
    ]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, to look at what they hold."""
    seen: list[Figure] = []
    save = Figure.savefig

    def spy(figure: Figure, *args: Any, **kwargs: Any) -> None:
        seen.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", spy)
    return seen


def legend(figure: Figure) -> list[str]:
    box = figure.axes[0].get_legend()
    return [text.get_text() for text in box.get_texts()] if box else []


@pytest.mark.parametrize("count", [1, 3, 8, 9, 30])
def test_one_line_per_task(count: int, tmp_path: Path, figures: list[Figure]) -> None:
    tasks = [f"task {number}" for number in range(count)]
    plot_losses(logs(tasks), tasks, tmp_path / "losses.png")
    lines = [line for line in figures[0].axes[0].get_lines() if not str(line.get_label()).startswith("_")]
    assert legend(figures[0]) == tasks
    assert len({(line.get_color(), str(line.get_linestyle())) for line in lines}) >= min(count, 28)
    with Image.open(tmp_path / "losses.png") as image:
        assert image.format == "PNG"
        assert image.width >= 1000


def test_the_legend_leaves_the_axes_when_there_are_many(tmp_path: Path, figures: list[Figure]) -> None:
    for count in (8, 9):
        tasks = [f"task {number}" for number in range(count)]
        plot_losses(logs(tasks), tasks, tmp_path / "losses.png")
    legends = [figure.axes[0].get_legend() for figure in figures]
    few, many = (shown.get_window_extent().x0 for shown in legends if shown is not None)
    assert few < figures[0].axes[0].get_window_extent().x1
    assert many >= figures[1].axes[0].get_window_extent().x1


def test_odd_names(tmp_path: Path, figures: list[Figure]) -> None:
    tasks = ["_hidden", "a/b", r"cost $5 and $6", "100%", "émotion"]
    plot_losses(logs(tasks), tasks, tmp_path / "losses.png")
    assert len(legend(figures[0])) == len(tasks)


@pytest.mark.parametrize("entries", [[], [{"eval_a/loss": 1.0, "step": 1}]])
def test_nothing_logged(entries: Logs, tmp_path: Path, figures: list[Figure]) -> None:
    plot_losses(entries, ["a"], tmp_path / "losses.png")
    assert [text.get_text() for text in figures[0].axes[0].texts] == ["no losses were logged"]


def test_a_loss_that_is_no_number(tmp_path: Path, figures: list[Figure]) -> None:
    entries = logs(["a"])
    entries[7]["a/loss"] = math.nan
    entries[8]["a/loss"] = math.inf
    plot_losses(entries, ["a"], tmp_path / "losses.png")
    _, smooth = figures[0].axes[0].get_lines()
    assert np.isfinite(np.asarray(smooth.get_ydata(), dtype=float)).all()


@pytest.mark.parametrize(("first", "scale"), [(3.0, "linear"), (300.0, "log")])
def test_a_wide_range_gets_a_logarithmic_axis(
    first: float, scale: str, tmp_path: Path, figures: list[Figure]
) -> None:
    entries = [{"step": 1, "loss": 1.0, "a/loss": first}, {"step": 2, "loss": 1.0, "a/loss": 1.0}]
    plot_losses(entries, ["a"], tmp_path / "losses.png")
    assert figures[0].axes[0].get_yscale() == scale


def test_no_global_state(tmp_path: Path) -> None:
    settings = mpl.rcParams.copy()
    plot_losses(logs(["a"]), ["a"], tmp_path / "losses.png")
    assert mpl.rcParams.copy() == settings
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'hf-mtl\[plots\]'"):
        plot_losses(logs(["a"]), ["a"], tmp_path / "losses.png")


def test_running_mean() -> None:
    assert running_mean([6.0, 3.0, 0.0, 3.0, 6.0], window=3) == [6.0, 3.0, 2.0, 3.0, 4.5]
    assert running_mean([1.0, 2.0], window=1) == [1.0, 2.0]
    assert running_mean([], window=3) == []


def test_running_mean_of_a_constant_is_the_constant() -> None:
    assert running_mean([0.5] * 20, window=7) == [0.5] * 20
