"""Random runs without a model: tasks, mixtures, stop rules and interruptions, and the rounds that they come to."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from transformers import TrainerControl, TrainerState

from hf_mtl import MultiTaskTrainingArguments, Task
from hf_mtl.data import Sequence
from hf_mtl.training.control import RunControl
from hf_mtl.training.mixtures import StopRule
from hf_mtl.training.rounds import Cut, RoundLoader, RoundPlan
from hf_mtl.training.settings import TaskSettings
from hf_mtl.training.sources import RowSource

NAMES = "abcdefgh"
ARGUMENTS = MultiTaskTrainingArguments("never", use_cpu=True, report_to="none")
TASK = Task("a", kind="regression", train=[{"text": "", "label": 0.0}])


class Steps(RowSource):
    """A source whose batches are one token, and which holds that steps are asked for one after the other."""

    def __init__(self, name: str, rows: int | None) -> None:
        self.name = name
        self.rows = rows
        self.tokens_per_row = 1.0 + len(name) + (rows or 7) % 5
        self.made = 0

    def batch(self, step: int) -> list[Sequence]:
        assert step == self.made
        self.made += 1
        return [Sequence(self.name, [1], [0], [1], row=step)]

    def fingerprint(self) -> None:
        """There are no rows."""

    def restart(self) -> None:
        self.made = 0

    def state_dict(self) -> dict[str, Any]:
        return {"made": self.made}

    def load_state_dict(self, state: Any) -> None:
        self.made = state["made"]


@dataclass(frozen=True)
class Run:
    """What a run is given.

    Args:
        rows: Each task's rows; None for a stream.
        own: What each task sets for itself.
        mixture: Who takes part.
        stop: When the run ends.
        max_steps: Of the arguments.
        epochs: `num_train_epochs` of the arguments.
    """

    rows: dict[str, int | None]
    own: dict[str, dict[str, Any]]
    mixture: Any
    stop: StopRule
    max_steps: int
    epochs: float

    @cached_property
    def settings(self) -> dict[str, TaskSettings]:
        """Each task's settings, as the trainer resolves them."""
        args = copy.copy(ARGUMENTS)
        args.max_steps, args.num_train_epochs = self.max_steps, self.epochs
        return {
            name: TaskSettings.resolve(_task(self.own[name]), args, rows=rows)
            for name, rows in self.rows.items()
        }

    def plan(self) -> RoundPlan:
        """Its rounds, from the first."""
        sources = {name: Steps(name, rows) for name, rows in self.rows.items()}
        limit = self.max_steps if self.max_steps > 0 else None
        cut = Cut(16, 16)
        mixture = self.mixture
        if isinstance(mixture, dict) and "rates" in mixture:
            mixture = mixture | {"rates": {name: mixture["rates"][name] for name in self.rows}}
        return RoundPlan(sources, self.settings, cut, mixture=mixture, stop=self.stop, max_rounds=limit)


def _task(own: Mapping[str, Any]) -> Task:
    task = copy.copy(
        TASK
    )  # what the constructor would do, without its look at the rows: there are thousands of them
    for key, value in own.items():
        object.__setattr__(task, key, value)
    return task


def random_run(drawn: random.Random) -> Run:
    """Tasks of very unlike sizes under any mixture and stop rule."""
    names = NAMES[: drawn.randint(1, 5)]
    max_steps = drawn.choice([-1, -1, drawn.randint(1, 12), drawn.randint(1, 50)])
    rows = {name: _rows(drawn) for name in names}
    own = {name: _own(drawn, rows[name]) for name in names}
    mixture = _mixture(drawn, NAMES)
    return Run(rows, own, mixture, drawn.choice(list(StopRule)), max_steps, drawn.choice([0.3, 1, 2, 2.5, 3]))


def with_new_task(drawn: random.Random, run: Run) -> Run:
    """The run with a task more, at any place among the others."""
    name = next(name for name in NAMES if name not in run.rows)
    order = [*run.rows]
    order.insert(drawn.randint(0, len(order)), name)
    rows = {**run.rows, name: _rows(drawn)}
    own = {**run.own, name: _own(drawn, rows[name])}
    return replace(run, rows={each: rows[each] for each in order}, own=own)


@dataclass
class Ran:
    """What became of a run.

    Args:
        plan: Its rounds, at their end.
        rounds: Who took part in each round that was made, by its number.
        state: Where it stood at its end, as JSON.
    """

    plan: RoundPlan
    rounds: dict[int, tuple[str, ...]] = field(default_factory=dict)
    state: str = ""


def went(run: Run, *, stops: Mapping[int, str], after: Ran | None = None, until: int | None = None) -> Ran:
    """Go through a run as the stock loop does, epoch by epoch.

    Args:
        run: What it is given.
        stops: Tasks that leave early, by the round after which they do.
        after: An earlier part of it, whose checkpoint it goes on from.
        until: The round after which it is interrupted.
    """
    ran = Ran(run.plan())
    plan = ran.plan
    if after is not None:
        plan.load_state_dict(json.loads(after.state))
    loader = RoundLoader(plan, epochs=math.ceil(run.epochs) if run.max_steps <= 0 else Fraction(7, 3))
    control = RunControl(loader)
    epochs = range(plan.number // len(loader), math.ceil(plan.rounds / len(loader)))
    for round_ in (round_ for _ in epochs for round_ in loader):
        ran.rounds[round_.number] = tuple(round_.label_counts)
        plan.losses |= dict.fromkeys(round_.label_counts, 1.0)
        if plan.number in stops:
            plan.stopped |= {stops[plan.number]} & plan.steps.keys()
        signals = control.on_step_end(ARGUMENTS, TrainerState(max_steps=plan.rounds), TrainerControl())
        if signals.should_training_stop or plan.number == until:
            break
    ran.state = json.dumps(plan.state_dict())
    return ran


def _rows(drawn: random.Random) -> int | None:
    return drawn.choice([drawn.randint(1, 4), drawn.randint(1, 25), drawn.randint(1, 25), None])


def _own(drawn: random.Random, rows: int | None) -> dict[str, Any]:
    own: dict[str, Any] = {"batch_size": drawn.randint(1, 6)}
    if rows is None or drawn.random() < 0.25:
        own["max_steps"] = drawn.randint(1, 20)
    elif drawn.random() < 0.25:
        own["num_train_epochs"] = drawn.choice([0.5, 1, 3])
    return own


def _mixture(drawn: random.Random, names: str) -> Any:
    size = {"cap": drawn.choice([5, 20, 50]), "unit": drawn.choice(["examples", "tokens"])}
    return drawn.choice(
        [
            "all",
            "sequential",
            "round_robin",
            {"kind": "proportional", **size},
            {"kind": "temperature", "temperature": drawn.choice([0.5, 2.0, 5.0]), **size},
            {"kind": "annealed", "start": 1.0, "end": drawn.choice([0.5, 5.0]), **size},
            {"kind": "rates", "rates": {name: drawn.choice([1.0, 0.5, 0.3, 0.1]) for name in names}},
        ]
    )
