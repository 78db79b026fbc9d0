"""Planned steps are made steps: of random runs under every mixture and stop rule, whole, interrupted and changed."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from random_plans import Ran, Run, random_run, went, with_new_task

from hf_mtl.errors import CheckpointError
from hf_mtl.training.mixtures import Mixture, MixtureFacts, StopRule
from hf_mtl.training.resuming import check_new_tasks
from hf_mtl.training.rounds import RoundPlan

QUICK, ALL = range(200), range(200, 2000)


def _stops(drawn: random.Random, run: Run) -> dict[int, str]:
    """Tasks that leave early; in most runs there are none."""
    few = drawn.choice([0, 0, 0, 1, 2])
    return {drawn.randint(1, 20): drawn.choice(list(run.rows)) for _ in range(few)}


def _made(*parts: Ran) -> Counter[str]:
    return Counter(name for part in parts for names in part.rounds.values() for name in names)


def _ended_as_planned(run: Run, ran: Ran, *before: Ran) -> None:
    made = {name: _made(*before, ran)[name] for name in run.rows}
    assert ran.plan.steps == made
    if not ran.plan.stopped:
        assert ran.plan.number == ran.plan.rounds
    for name, steps in made.items():
        planned = ran.plan.planned[name]
        assert steps <= planned if name in ran.plan.stopped else steps == planned
    assert ran.plan.active == () or ran.plan.number == ran.plan.rounds


def _goes_on_as_if_nothing_had_been(run: Run, whole: Ran, stops: dict[int, str], until: int) -> None:
    first = went(run, stops=stops, until=until)
    second = went(run, stops=stops, after=first)
    assert first.rounds | second.rounds == whole.rounds
    assert (second.plan.rounds, second.plan.planned) == (whole.plan.rounds, whole.plan.planned)
    assert second.state == whole.state


def _plan_of_new_tasks(run: Run, ran: Ran, before: Ran) -> None:
    """`max_steps` is the run's bound; without it every task makes all its steps, unless the first one ends the run."""
    planned, settings = ran.plan.planned, run.settings
    if run.max_steps > 0:
        assert ran.plan.rounds <= max(run.max_steps, before.plan.number)
        return
    for name in planned.keys() - ran.plan.stopped:
        done = before.plan.steps.get(name, 0)
        if run.stop is StopRule.ONCE:
            assert planned[name] == max(settings[name].steps, done)
        if run.stop is StopRule.ALL_EXHAUSTED:
            assert planned[name] >= settings[name].steps


def _life(seed: int) -> None:
    """A run from its start to its end, in two parts, and with other tasks and settings in the second part."""
    drawn = random.Random(seed)
    run = random_run(drawn)
    stops = _stops(drawn, run)
    whole = went(run, stops=stops)
    _ended_as_planned(run, whole)
    _goes_on_as_if_nothing_had_been(run, whole, stops, drawn.randint(1, whole.plan.number))
    first = went(run, stops=stops, until=drawn.randint(1, whole.plan.number))
    changed = with_new_task(drawn, run)
    if drawn.random() < 0.3:
        max_steps, epochs = drawn.choice([-1, drawn.randint(1, 80)]), drawn.choice([1, 3])
        changed = replace(changed, max_steps=max_steps, epochs=epochs)
    if drawn.random() < 0.3:
        changed = replace(changed, mixture=random_run(drawn).mixture)
    if drawn.random() < 0.3 and len(run.rows) > 1:
        gone = drawn.choice(list(run.rows))
        changed = replace(changed, rows={name: rows for name, rows in changed.rows.items() if name != gone})
    second = went(changed, stops={}, after=first)
    _ended_as_planned(changed, second, first)
    _plan_of_new_tasks(changed, second, first)


@pytest.mark.parametrize("seeds", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)], ids=len)
def test_planned_is_made(seeds: range) -> None:
    for seed in seeds:
        try:
            _life(seed)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


def test_a_task_that_makes_no_step_still_counts_for_the_mixture() -> None:
    """The temperature falls over the steps of the longest task, `b`, which has no turn before the run ends."""
    mixture = {"kind": "annealed", "start": 1.0, "end": 0.1, "cap": 50}
    rows: dict[str, int | None] = {"a": 20, "b": 1, "c": 16}
    own: dict[str, dict[str, Any]] = {name: {"batch_size": 1, "max_steps": 6} for name in "ac"}
    own["b"] = {"batch_size": 1}
    run = Run(rows, own, mixture, StopRule.ALL_EXHAUSTED, max_steps=14, epochs=1)
    ran = went(run, stops={})
    assert ran.plan.planned["b"] == 0
    _ended_as_planned(run, ran)


def test_where_the_longest_task_stops_early_the_others_make_all_their_steps() -> None:
    """The temperature falls over the steps of `long` all the same; over those of `large` it would fall too soon."""
    mixture = {"kind": "annealed", "start": 5.0, "end": 0.25}
    rows: dict[str, int | None] = {"large": 12, "small": 6, "long": 3}
    own: dict[str, dict[str, Any]] = {"large": {"batch_size": 1}}
    own |= {"small": {"batch_size": 1, "max_steps": 12}, "long": {"batch_size": 1, "max_steps": 40}}
    run = Run(rows, own, mixture, StopRule.FIRST_EXHAUSTED, max_steps=-1, epochs=1)
    ran = went(run, stops={2: "long"})
    assert ran.plan.number == 12 and ran.plan.planned["small"] > 8
    _ended_as_planned(run, ran)


class _SpeedsUp(Mixture):
    """Task `b` in every second round while no loss is known, as it is while a run is planned; then in every one."""

    def rates(self, facts: MixtureFacts) -> dict[str, float]:
        return {name: 0.5 if (name, task.loss) == ("b", None) else 1.0 for name, task in facts.tasks.items()}


def test_no_task_makes_more_steps_than_its_schedule_has() -> None:
    own: dict[str, dict[str, Any]] = {"a": {"batch_size": 1}, "b": {"batch_size": 1}}
    run = Run({"a": 9, "b": 9}, own, _SpeedsUp(), StopRule.ALL_EXHAUSTED, max_steps=8, epochs=1)
    ran = went(run, stops={})
    assert ran.plan.planned == {"a": 8, "b": 4}
    _ended_as_planned(run, ran)
    assert [number for number, names in ran.rounds.items() if "b" in names] == [1, 2, 3, 4]


def test_a_new_task_by_hand() -> None:
    """Resumed at round 8 of 10: `max_steps` stays the bound of the run; without it the new task makes all its steps."""
    rows: dict[str, int | None] = {"a": 10, "b": 5}
    own: dict[str, dict[str, Any]] = {name: {"batch_size": 1} for name in "abn"}

    def resumed(stop: StopRule, max_steps: int) -> tuple[int, dict[str, int]]:
        run = Run(rows, own, "all", stop, max_steps, epochs=1)
        first = went(run, stops={}, until=4 if stop is StopRule.FIRST_EXHAUSTED else 8)
        second = went(replace(run, rows={**rows, "n": 7}), stops={}, after=first)
        assert second.plan.steps == second.plan.planned
        return second.plan.number, second.plan.planned

    assert resumed(StopRule.ONCE, -1) == (15, {"a": 10, "b": 5, "n": 7})
    assert resumed(StopRule.ALL_EXHAUSTED, -1) == (15, {"a": 15, "b": 15, "n": 7})
    assert resumed(StopRule.FIRST_EXHAUSTED, -1) == (5, {"a": 5, "b": 5, "n": 1})
    assert resumed(StopRule.ONCE, 10) == (10, {"a": 10, "b": 10, "n": 2})


def _resumed(run: Run, until: int) -> RoundPlan:
    first = went(run, stops={}, until=until)
    second = replace(run, rows={**run.rows, "n": 7}, own={**run.own, "n": {"batch_size": 1}})
    plan = second.plan()
    plan.load_state_dict(json.loads(first.state))
    check_new_tasks(
        plan,
        second.settings,
        first.plan.planned,
        max_steps=run.max_steps,
        stop=run.stop,
        where="run/checkpoint",
    )
    return plan


def test_fewer_steps_at_a_resume_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    own: dict[str, dict[str, Any]] = {"a": {"batch_size": 1}, "b": {"batch_size": 1}}
    run = Run({"a": 10, "b": 5}, own, "round_robin", StopRule.ONCE, max_steps=12, epochs=1)
    _resumed(run, until=4)
    assert [record.message for record in caplog.records] == [
        "resume: task 'n' is new and makes 2 of its 12 steps, and its learning rate follows a schedule of these: the "
        "run stands at round 4, and max_steps=12 ends it at round 12.",
        "resume: task 'a' makes 5 steps in all now, and 6 were planned; its learning rate follows the schedule of 5 "
        "steps from here on.",
        "resume: task 'b' makes 5 steps in all now, and 6 were planned; its learning rate follows the schedule of 5 "
        "steps from here on.",
    ]
    caplog.clear()
    _resumed(replace(run, stop=StopRule.FIRST_EXHAUSTED, mixture="all", max_steps=-1), until=3)
    assert "makes 2 of its 7 steps" in caplog.text
    assert "stands at round 3, and stop_rule='first_exhausted' ends it at round 5." in caplog.text
    caplog.clear()
    _resumed(replace(run, max_steps=-1), until=4)
    assert caplog.text == ""


def test_a_new_task_that_could_make_no_step_is_refused() -> None:
    own: dict[str, dict[str, Any]] = {"a": {"batch_size": 1}, "b": {"batch_size": 1}}
    run = Run({"a": 10, "b": 5}, own, "all", StopRule.ONCE, max_steps=12, epochs=1)
    with pytest.raises(CheckpointError) as caught:
        _resumed(run, until=12)
    first, task, way_out = str(caught.value).splitlines()
    assert (
        first
        == "run/checkpoint cannot be resumed: the run stands at round 12, and max_steps=12 ends it at round 12:"
    )
    assert task == "  - task 'n' is new, and could make none of its 12 steps."
    assert way_out.startswith(
        "Raise max_steps (a task that is to make no more steps keeps a max_steps in Task(...))"
    )
