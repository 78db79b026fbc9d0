"""What a resumed run remembers besides weights: who left and why, strikes, losses, figures and random streams."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from hf_mtl import Task
from hf_mtl.training.mixtures import Mixture, MixtureFacts
from runs import Poison, logged, rows, state_of, tasks, trainer_of

SAVED = 4  # between two log entries, and after two evaluations
LEFT_EARLY, BROKEN, STRUCK, STEADY = "verbs", "mlp", "c/d", "steady"


class _Listening(Mixture):
    """Every task in every round; notes what losses it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, float | None]]] = []

    def rates(self, facts: MixtureFacts) -> Mapping[str, float]:
        losses = {name: task.loss for name, task in facts.tasks.items()}
        if set(losses.values()) != {None}:  # not while the run is being planned
            self.told.append((facts.round, losses))
        return dict.fromkeys(losses, 1.0)


class _Draws(TrainerCallback):
    """A user's callback that draws from all random streams in every round, and makes evaluations long."""

    def __init__(self) -> None:
        self.drawn: list[tuple[float, float, float]] = []
        self.away = 0.0

    def now(self) -> float:
        """A clock on which everything but the evaluations takes as long as it takes."""
        return time.monotonic() + self.away

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.away += 1000

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))


class _Run:
    """A run in which one task stops early, one is quarantined, and one has strikes before and after the checkpoint."""

    def __init__(self, folder: Path, out: Path, resume_from: Path | None = None) -> None:
        suite = tasks()
        fields = {name: getattr(suite["mlp"], name) for name in ("template", "adapter")}
        suite[STEADY] = Task(STEADY, train=rows(STEADY, 9), eval=rows(STEADY, 4), **fields)
        early = suite[LEFT_EARLY]
        # A loss of which more is better falls, and so the task stops at its second evaluation.
        suite[LEFT_EARLY] = Task(
            LEFT_EARLY, train=early.train, eval=early.eval, template=early.template, adapter=early.adapter,
            metric_for_best_model="loss", greater_is_better=True, early_stopping_patience=1,
        )  # fmt: skip
        self.mixture, self.draws = _Listening(), _Draws()
        self.trainer = trainer_of(
            folder, out, suite, mixture=self.mixture, max_steps=8, max_strikes=2, save_strategy="steps",
            save_steps=SAVED, eval_strategy="steps", eval_steps=2, logging_steps=3, learning_rate=1e-2,
            warmup_steps=0, spike_factor=1e6, load_best_model_at_end=True,
        )  # fmt: skip
        for task, when in {BROKEN: {0, 1}, STRUCK: {2, 6}}.items():
            self.trainer.add_callback(Poison(self.trainer, task, when))
        self.trainer.add_callback(self.draws)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "perf_counter", self.draws.now)
            self.trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)


@pytest.fixture(scope="module")
def runs(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[_Run, _Run]:
    """A run that was never interrupted, and one that goes on from its checkpoint."""
    out = tmp_path_factory.mktemp("runs")
    whole = _Run(tiny_llama, out / "whole")
    return whole, _Run(tiny_llama, out / "resumed", out / "whole" / f"checkpoint-{SAVED}")


def test_tasks_that_left_do_not_return(runs: tuple[_Run, _Run]) -> None:
    whole, resumed = (run.trainer for run in runs)
    assert whole.plan.stopped == {LEFT_EARLY, BROKEN, STRUCK}
    assert whole.plan.steps[LEFT_EARLY] == SAVED and whole.plan.steps[BROKEN] == 2
    assert (resumed.plan.stopped, resumed.plan.steps) == (whole.plan.stopped, whole.plan.steps)


def test_strikes_and_incidents_go_on(runs: tuple[_Run, _Run]) -> None:
    whole, resumed = (run.trainer.containment for run in runs)
    assert whole.strikes == {BROKEN: 2, STRUCK: 2}
    assert [(i["task"], i["quarantined"]) for i in whole.incidents] == [
        (BROKEN, False), (BROKEN, True), (STRUCK, False), (STRUCK, True),
    ]  # fmt: skip
    assert (resumed.strikes, resumed.incidents) == (whole.strikes, whole.incidents)


def test_the_mixture_is_told_the_losses_from_before(runs: tuple[_Run, _Run]) -> None:
    whole, resumed = (run.mixture.told for run in runs)
    number, losses = whole[SAVED - 1]  # before round 0 there is none
    assert number == SAVED and losses.keys() == {STRUCK, STEADY} and None not in losses.values()
    assert resumed == whole[SAVED - 1 :]


def test_log_entries_and_figures_go_on(runs: tuple[_Run, _Run]) -> None:
    whole, resumed = (run.trainer for run in runs)
    # As text, for NaN is not equal to itself.
    first, second = (
        [repr(sorted(entry.items())) for entry in logged(trainer)] for trainer in (whole, resumed)
    )
    assert first == second
    assert resumed.meter.tokens == whole.meter.tokens
    assert resumed.plan.log.summary() == whole.plan.log.summary()
    assert (resumed.best.records, resumed.best.rounds) == (whole.best.records, whole.best.rounds)


def test_random_streams_go_on(runs: tuple[_Run, _Run]) -> None:
    whole, resumed = (run.draws.drawn for run in runs)
    assert len(whole) == 8 and resumed == whole[SAVED:]


def test_weights_and_optimizers_are_the_same_to_the_bit(runs: tuple[_Run, _Run]) -> None:
    """Each task ends with its best weights, some of which are from before the resume."""
    whole, resumed = (state_of(run.trainer) for run in runs)
    assert {name: r.round for name, r in runs[1].trainer.best.records.items()}[LEFT_EARLY] < SAVED
    assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == []


def test_seconds_of_training_are_without_evaluations_and_go_on(runs: tuple[_Run, _Run]) -> None:
    whole, resumed = (run.trainer for run in runs)
    assert runs[0].draws.away == 4000 and runs[1].draws.away == 2000
    assert 0 < whole.meter.seconds < 500 and 0 < resumed.meter.seconds < 500
    assert sum(whole.task_seconds().values()) == pytest.approx(whole.meter.seconds)
