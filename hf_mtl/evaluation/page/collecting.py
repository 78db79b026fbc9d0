"""From a run's folder to its story."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hf_mtl.bounded_json import MAX_RECORD_BYTES, read_json
from hf_mtl.errors import CheckpointError
from hf_mtl.evaluation.figure_keys import figures_by_task
from hf_mtl.evaluation.page.comparison import changes_of
from hf_mtl.evaluation.page.records import (
    COSINES_FILE,
    INCIDENTS,
    LOG,
    MIXTURE,
    RELATIONS_FILE,
    REPORT_FILE,
    SINGLE,
    STATE_FILE,
    TRANSFER,
    Log,
    Share,
    numbers_of,
)
from hf_mtl.evaluation.page.story import Curves, Points, RunStory
from hf_mtl.evaluation.report import LOSS, Report
from hf_mtl.evaluation.thinning import thin
from hf_mtl.relations import Relations

__all__ = ["collect_story"]

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_TOLD_BESIDE = ("_constant", "_low", "_high")


def collect_story(folder: str | Path) -> RunStory:
    """Read what a run left.

    Read are `report.json`; the log in `log.json`, or else in the `trainer_state.json` of the newest checkpoint;
    `single.json`, `transfer.json`, `mixture.json`, `incidents.json`, `relations.json` and `cosines.json`. Each may be
    absent, so a run that was stopped has a story too.

    Args:
        folder: The run's `output_dir`.

    Raises:
        CheckpointError: The folder holds neither a report nor a log, or a file of it cannot be read.
    """
    folder = Path(folder)
    report = Report.load(folder / REPORT_FILE) if (folder / REPORT_FILE).is_file() else None
    log = _log_of(folder)
    if report is None and not log:
        raise CheckpointError(
            f"{folder} holds neither {REPORT_FILE} nor {LOG.name}, nor a checkpoint with a {STATE_FILE}; expected the "
            f"folder that a training wrote. Give that one."
        )
    results = () if report is None else report.results
    tasks = tuple(result.task for result in results) or _trained(log)
    losses = {own.task: own.losses for own in results if own.losses} or _curves(log, LOSS, tasks)
    return RunStory(
        name=folder.resolve().name,
        tasks=tasks,
        facts={} if report is None else report.model,
        results=tuple(replace(own, losses=()) for own in results),
        changes=changes_of(results, SINGLE.read(folder) or {}),
        losses=losses,
        evaluations=_evaluations(log, tasks, {score.metric for own in results for score in own.scores}),
        relations=_relations(folder / RELATIONS_FILE),
        cosines=_relations(folder / COSINES_FILE),
        transfer=TRANSFER.read(folder) or {},
        learning_rates=_curves(log, "learning_rate"),
        loss_weights=_curves(log, "loss_weight"),
        shares=MIXTURE.read(folder) or _shares(log, tasks),
        throughput=_points(log, "tokens_per_second"),
        padding=_points(log, "padding"),
        incidents=INCIDENTS.read(folder),
        skipped={own.task: own.skipped for own in results if own.skipped},
    )


def _log_of(folder: Path) -> Log:
    if (log := LOG.read(folder)) is not None:
        return log
    places = [(int(m[1]), path) for path in folder.glob("*") if (m := _CHECKPOINT.fullmatch(path.name))]
    for path in (place / STATE_FILE for _, place in sorted(places, reverse=True)):
        if path.is_file():
            try:
                return numbers_of(read_json(path, max_bytes=MAX_RECORD_BYTES)["log_history"])
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise CheckpointError(
                    f"{path} should hold the state of a trainer with its log_history, but cannot be read: {error!r}"
                ) from error
    return ()


def _relations(path: Path) -> Relations | None:
    return Relations.load(path) if path.is_file() else None


def _training(log: Log) -> Log:
    """The entries about training; those of evaluations have no `loss`."""
    return [entry for entry in log if LOSS in entry]


def _trained(log: Log) -> tuple[str, ...]:
    ends = f"/{LOSS}"
    return tuple(
        dict.fromkeys(
            key.removesuffix(ends) for entry in _training(log) for key in entry if key.endswith(ends)
        )
    )


def _points(log: Log, key: str) -> Points:
    return thin([(int(entry["step"]), entry[key]) for entry in log if key in entry and LOSS in entry])


def _curves(log: Log, figure: str, names: Iterable[str] = ()) -> Curves:
    """The entries `NAME/figure`, of these names or of all that have it."""
    ends = f"/{figure}"
    every = dict.fromkeys(
        key.removesuffix(ends) for entry in _training(log) for key in entry if key.endswith(ends)
    )
    return {name: _points(log, f"{name}{ends}") for name in (tuple(names) or every) if name in every}


def _evaluations(log: Log, tasks: Sequence[str], shown: Collection[str]) -> Mapping[str, Curves]:
    """By metric and task the figures measured while training, in the order in which they come up.

    Only the metrics of the results, where there are results, and only what was measured in several rounds: one point
    is no curve.
    """
    training = _training(log)
    last = int(training[-1]["step"]) if training else 0
    names = frozenset(tasks)
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for entry in log:
        if LOSS in entry or "step" not in entry or int(entry["step"]) > last:
            continue
        figures = figures_by_task(names, entry, "eval")
        for task in (task for task in tasks if task in figures):
            for metric, value in figures[task].items():
                if metric != "rows" and not metric.endswith(_TOLD_BESIDE):
                    found.setdefault(metric, {}).setdefault(task, []).append((int(entry["step"]), value))
    # The same round is measured twice where a run ends with an evaluation of its own: the last one counts.
    every = {
        metric: {task: thin([*dict(points).items()]) for task, points in curves.items()}
        for metric, curves in sorted(found.items(), key=lambda item: item[0] == LOSS)
        if not shown or metric in shown
    }
    return {
        metric: curves
        for metric, curves in every.items()
        if any(len(points) > 1 for points in curves.values())
    }


def _shares(log: Log, tasks: Sequence[str]) -> dict[str, Share]:
    """The tokens of each task, which the log counts over the whole run; no plan is known."""
    counts = {task: points[-1][1] for task, points in _curves(log, "tokens", tasks).items()}
    total = math.fsum(counts.values())
    return {task: Share(int(count), count / total) for task, count in counts.items() if total}
