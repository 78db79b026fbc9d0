"""Long curves keep what a reader sees: their ends, every extreme, and where a value was no number."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import TrainerState

from hf_mtl.errors import DataError
from hf_mtl.evaluation.figure_keys import figures_by_task
from hf_mtl.evaluation.page import collect_story, write_page
from hf_mtl.evaluation.page.records import LOG, numbers_of
from hf_mtl.evaluation.report import own_figures
from hf_mtl.evaluation.thinning import MOST_POINTS, thin, thin_log
from hf_mtl.training.state_file import save_state


@given(st.lists(st.floats(), max_size=80), st.integers(5, 20))
@settings(max_examples=200, deadline=None)
def test_what_is_kept(values: list[float], most: int) -> None:
    points = [*enumerate(values)]
    kept = thin(points, most)
    assert set(map(repr, kept)) <= set(map(repr, points))
    if len(points) <= most:
        assert repr(kept) == repr(tuple(points))
        return
    assert len(kept) <= most and repr(thin(kept, most)) == repr(kept)
    assert [step for step, _ in kept] == sorted({step for step, _ in kept})
    assert kept[0][0] == 0 and kept[-1][0] == len(points) - 1
    finite = [value for value in values if math.isfinite(value)]
    shown = [value for _, value in kept if math.isfinite(value)]
    if finite:
        assert min(shown) == min(finite) and max(shown) == max(finite)
    assert all(map(math.isfinite, values)) == all(math.isfinite(value) for _, value in kept)


def _log(tasks: int, entries: int) -> list[dict[str, float]]:
    return [
        {"loss": 1.0, "step": step} | {f"task {task}/loss": 1 / step + task for task in range(tasks)}
        for step in range(1, entries + 1)
    ]


def test_a_long_log_is_a_small_page(tmp_path: Path) -> None:
    log = _log(20, 3000)
    log[1500]["task 3/loss"] = 77.0
    LOG.write(tmp_path, (entry for one in log for entry in numbers_of([one])))
    assert LOG.read(tmp_path) == log
    assert len((tmp_path / LOG.name).read_text(encoding="utf-8").splitlines()) == 3002
    story = collect_story(tmp_path)
    assert all(len(points) <= MOST_POINTS for points in story.losses.values())
    assert (1501, 77.0) in story.losses["task 3"] and story.losses["task 0"][-1] == (3000, 1 / 3000)
    page = write_page(story, tmp_path / "page")
    assert page.stat().st_size < 1_000_000
    assert (tmp_path / "page" / "story.json").stat().st_size < 500_000


def test_the_curves_of_a_thinned_log_are_those_of_the_whole_one(tmp_path: Path) -> None:
    log = _log(3, 2000)
    log[700]["task 1/loss"] = math.inf
    log.insert(100, {"step": 100, "eval_task 0/accuracy": 0.5})
    assert thin_log(log) is log
    thinned = thin_log(log, most=1000)
    assert len(thinned) == len(log) and sum(map(len, thinned)) < 6000
    for folder, entries in (("whole", log), ("thinned", thinned)):
        (tmp_path / folder).mkdir()
        LOG.write(tmp_path / folder, entries)
    whole, thin_one = (collect_story(tmp_path / name) for name in ("whole", "thinned"))
    assert repr(whole.losses) == repr(thin_one.losses) and whole.tasks == thin_one.tasks


def test_a_log_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    LOG.write(tmp_path, [{"loss": 1.0, "step": 1.0}, {"loss": math.nan}])
    before = (tmp_path / LOG.name).read_bytes()
    with pytest.raises(DataError, match="log.json cannot hold this"):
        LOG.write(tmp_path, [{"loss": 1.0}, {"loss": "much"}])
    assert (tmp_path / LOG.name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [LOG.name]
    assert repr(LOG.read(tmp_path)) == "[{'loss': 1.0, 'step': 1.0}, {'loss': nan}]"
    LOG.write(tmp_path, [])
    assert LOG.read(tmp_path) == []


def test_figures_of_all_tasks_at_once() -> None:
    names = ("a", "a/b", "c", "eval_a")
    keys = (
        "eval_a/f1",
        "eval_a/b/f1",
        "eval_a/b/x/y",
        "eval_c/loss",
        "eval_eval_a/f1",
        "eval_runtime",
        "a/f1",
        "eval_d/f1",
    )
    figures = {key: float(place) for place, key in enumerate(keys)}
    one_by_one = {name: own for name in names if (own := own_figures(names, name, figures, "eval"))}
    assert figures_by_task(frozenset(names), figures, "eval") == one_by_one


@pytest.mark.parametrize("entries", [10, 5000])
def test_the_state_of_a_long_run_is_what_transformers_reads(tmp_path: Path, entries: int) -> None:
    state = TrainerState(global_step=7, log_history=_log(20, entries), best_metric=0.5)
    save_state(state, tmp_path / "long.json")
    state.save_to_json(str(tmp_path / "stock.json"))
    long, stock = (tmp_path / name for name in ("long.json", "stock.json"))
    assert json.loads(long.read_text()) == json.loads(stock.read_text())
    assert TrainerState.load_from_json(str(long)) == state
    assert (long.read_bytes() == stock.read_bytes()) == (entries == 10)
