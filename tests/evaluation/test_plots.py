"""The plot of losses: a readable PNG for any number of tasks and any names, with no global state touched."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from hf_mtl.errors import ConfigError
from hf_mtl.evaluation.glyphs import _fonts_for
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
    box = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
    return [text.get_text() for text in box.get_texts()] if box else []


@pytest.mark.parametrize("count", [1, 4, 8])
def test_a_few_tasks_have_a_line_and_a_name_each(count: int, tmp_path: Path, figures: list[Figure]) -> None:
    tasks = [f"task {number}" for number in range(count)]
    plot_losses(logs(tasks), tasks, tmp_path / "losses.png")
    lines = [line for line in figures[0].axes[0].get_lines() if not str(line.get_label()).startswith("_")]
    assert legend(figures[0]) == tasks
    assert len({(line.get_color(), str(line.get_linestyle())) for line in lines}) == count
    with Image.open(tmp_path / "losses.png") as image:
        assert image.format == "PNG"
        assert image.width >= 1000


@pytest.mark.parametrize("count", [9, 30, 100])
def test_of_many_tasks_those_at_the_ends_stand_out(count: int, tmp_path: Path, figures: list[Figure]) -> None:
    tasks = [f"glue/mnli-matched-fold-{number:02}" for number in range(count)]
    plot_losses(logs(tasks), tasks, tmp_path / "losses.png")
    others = "1 other task" if count == 9 else f"{count - 8} other tasks"
    assert legend(figures[0]) == [*tasks[:-5:-1], others, *tasks[3::-1]]
    (axes,) = figures[0].axes
    assert (
        len(axes.get_lines()) == 2 * 8 + count - 8
    )  # the thin and the bold line of eight, and one of the others
    assert figures[0].legends[0].get_window_extent().x0 >= axes.get_window_extent().x1


@pytest.mark.parametrize(
    ("low", "high", "count"),
    [(-3.0, 5.7, 2), (0.0, 5.7, 2), (0.0, 9000.0, 30), (0.5, 5.7, 30), (5.2, 5.7, 30), (1e-6, 9000.0, 2)],
)
def test_axes_fit_the_data(
    low: float, high: float, count: int, tmp_path: Path, figures: list[Figure]
) -> None:
    tasks = [f"task {number}" for number in range(count)]
    entries = [
        {"step": 10 * step, "loss": 1.0, **{f"{task}/loss": high + (low - high) * step / 4 for task in tasks}}
        for step in range(5)
    ]
    plot_losses(entries, tasks, tmp_path / "losses.png")
    (axes,) = figures[0].axes
    bottom, top = axes.get_ylim()
    left, right = axes.get_xlim()
    assert bottom <= low < high <= top and left <= 0 and right >= 40
    if axes.get_yscale() == "linear":
        assert high - low >= 0.5 * (top - bottom)  # the curves fill the axes
    else:
        assert (high / low) ** 1.2 >= top / bottom


def test_a_loss_that_ends_with_no_number_stands_out(tmp_path: Path, figures: list[Figure]) -> None:
    tasks = [f"task {number}" for number in range(30)]
    entries = logs(tasks)
    for entry in entries[20:]:
        entry["task 12/loss"] = math.nan
    plot_losses(entries, tasks, tmp_path / "losses.png")
    assert legend(figures[0])[0] == "task 12"
    assert [line.get_marker() for line in figures[0].axes[0].get_lines()].count("x") == 1


@pytest.fixture
def own_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without fonts, but for those that come with matplotlib."""
    here = [font for font in fontManager.ttflist if "mpl-data" in Path(font.fname).parts]
    monkeypatch.setattr(fontManager, "ttflist", here)
    monkeypatch.setattr("hf_mtl.evaluation.glyphs._named", set())
    _fonts_for.cache_clear()
    yield
    _fonts_for.cache_clear()


def test_names_that_no_font_has_are_boxes_and_the_log_says_so(
    tmp_path: Path, figures: list[Figure], own_fonts: None, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = ["第一/a", "第二/a", "plain"]
    seen: list[list[str]] = []
    draw = Figure.draw

    def spy(figure: Figure, renderer: RendererBase) -> None:
        seen.append(legend(figure))
        draw(figure, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "draw", spy)
        plot_losses(logs(tasks), tasks, tmp_path / "losses.png")
    assert seen[-1] == ["□□/a", "□□/a (2)", "plain"]
    assert legend(figures[0]) == tasks
    (message,) = caplog.messages
    assert "has the characters 一二第;" in message and "Noto Sans CJK" in message
    plot_losses(logs(tasks), tasks, tmp_path / "again.png")
    assert len(caplog.messages) == 1  # said once


def test_another_font_is_taken_where_one_has_the_characters(
    tmp_path: Path, figures: list[Figure], own_fonts: None, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = ["plain", "\u1d81 of STIX"]
    plot_losses(logs(tasks), tasks, tmp_path / "losses.png")
    box = figures[0].axes[0].get_legend()
    assert box is not None
    assert [text.get_fontfamily()[-1] for text in box.get_texts()] == ["sans-serif", "STIXGeneral"]
    assert not caplog.messages


def test_odd_names(tmp_path: Path, figures: list[Figure]) -> None:
    tasks = [
        "_hidden",
        "a/b",
        r"cost $5 and $6",
        "100%",
        "émotion",
        r"$\frac{",
        "می\u200cخواهم",
        "x" * 10_000,
    ]
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
