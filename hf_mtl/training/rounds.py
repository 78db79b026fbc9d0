"""Rounds: one optimizer step of every task that takes part, as micro-batches of many tasks.

Who takes part is the mixture's choice; what a task brings follows from its own number of steps alone. The plan's
state is a few numbers per task, so a run can be entered anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from hf_mtl.data import Chunk, Layout, PackedBatch, PackedLayout, PaddedBatch
from hf_mtl.training.mixtures import (
    Mixture,
    MixtureFacts,
    MixtureLog,
    Participation,
    StopRule,
    TaskFacts,
    mixture_from,
    planned_rounds,
)
from hf_mtl.training.settings import TaskSettings
from hf_mtl.training.sources import RowSource

__all__ = ["Cut", "Round", "RoundLoader", "RoundPlan"]


@dataclass(frozen=True)
class Cut:
    """How a round is cut into micro-batches.

    Args:
        token_budget: Most tokens of a micro-batch.
        max_chunk_tokens: Most tokens of a chunk.
        layout: How the base takes its batches.
        rank: The number of this process.
        world: The number of processes; each computes its share of a round's chunks.
        alone: Whether each chunk is a micro-batch of its own. A matrix product may round a row differently when it
            has other rows beside it; so it does not.
    """

    token_budget: int
    max_chunk_tokens: int
    layout: Layout = PackedLayout()  # noqa: RUF009  # it has no state
    rank: int = 0
    world: int = 1
    alone: bool = False

    def fill(self, chunks: Collection[Chunk]) -> list[list[Chunk]]:
        """This process's micro-batches of a round's chunks, which every process knows in the same order."""
        own = list(chunks)
        if self.world > 1:
            loads = [0] * self.world
            shares: list[list[int]] = [[] for _ in loads]
            for i in sorted(range(len(own)), key=lambda i: -own[i].tokens):  # the longest first
                rank = loads.index(min(loads))
                loads[rank] += own[i].tokens
                shares[rank].append(i)
            own = [own[i] for i in sorted(shares[self.rank])]
        return [[chunk] for chunk in own] if self.alone else self.layout.fill(own, self.token_budget)


@dataclass(frozen=True)
class Round:
    """What one optimizer step of the participating tasks consumes.

    Args:
        number: Counted from 0.
        groups: The chunks of each micro-batch of this process; one forward and backward pass each.
        label_counts: What the labels of each participating task count for, over all processes; its loss is their mean.
        tokens: Tokens of each participating task, over all processes.
        rows: The numbers of each participating task's rows.
        layout: How a group becomes a batch.
    """

    number: int
    groups: tuple[tuple[Chunk, ...], ...]
    label_counts: Mapping[str, float]
    tokens: Mapping[str, int]
    rows: Mapping[str, tuple[int, ...]]
    layout: Layout

    @property
    def micro_batches(self) -> Iterator[PackedBatch | PaddedBatch]:
        """The micro-batches, laid out one after the other."""
        return (self.layout.lay_out(group) for group in self.groups)

    def without(self, tasks: Collection[str]) -> Round:
        """The same round as if `tasks` sat it out."""
        groups = (tuple(chunk for chunk in group if chunk.route not in tasks) for group in self.groups)
        return replace(
            self,
            groups=tuple(group for group in groups if group),
            label_counts={name: count for name, count in self.label_counts.items() if name not in tasks},
        )


class RoundPlan:
    """The rounds of a run, one after the other.

    Args:
        sources: Each task's training rows.
        settings: Each task's settings.
        cut: How rounds are cut.
        mixture: Who takes part: a name, options, or an object (`hf_mtl.training.mixtures`).
        stop: When the run ends.
        max_rounds: Most rounds; None for as many as the tasks' steps take.

    Attributes:
        rounds: The rounds of the whole run, unless tasks stop early.
        planned: Each task's steps in these rounds.
        steps: The steps that each task has made.
        stopped: Tasks that left before their time.
    """

    def __init__(
        self,
        sources: Mapping[str, RowSource],
        settings: Mapping[str, TaskSettings],
        cut: Cut,
        *,
        mixture: str | Mapping[str, object] | Mixture = "all",
        stop: StopRule = StopRule.ONCE,
        max_rounds: int | None = None,
    ) -> None:
        self.sources = sources
        for source in sources.values():
            source.restart()
        self.cut = cut
        self.number = 0
        self.steps = dict.fromkeys(sources, 0)
        self.stopped: set[str] = set()
        self.losses: dict[str, float] = {}
        self._facts = {
            name: TaskFacts(
                rows=source.rows,
                tokens_per_batch=source.tokens_per_row * settings[name].batch_size,
                batch_size=settings[name].batch_size,
                planned_steps=settings[name].steps,
            )
            for name, source in sources.items()
        }
        self._longest = max(own.steps for own in settings.values())
        self._horizon = max_rounds or self._longest
        self._stop, self._max_rounds = stop, max_rounds
        self._participation = Participation(mixture_from(mixture, list(sources)))
        self.rounds, self.planned = self._planned_from_here()
        self._asked_for = {
            "mixture": repr(self._participation.mixture),
            "stop": stop.value,
            "max_rounds": max_rounds,
            "steps": {name: task.planned_steps for name, task in self._facts.items()},
            "rounds": self.rounds,
            "planned": self.planned,
        }
        self.log = MixtureLog(self._facts, self.planned)

    def _mixture_facts(self, names: Iterable[str]) -> MixtureFacts:
        facts = {
            name: replace(self._facts[name], steps_done=self.steps[name], loss=self.losses.get(name))
            for name in names
        }
        return MixtureFacts(self.number, self._horizon, facts, self._longest)

    def _planned_from_here(self) -> tuple[int, dict[str, int]]:
        """The rounds of the whole run and each task's steps in it; tasks that left early make no more."""
        mixture, state = self._participation.mixture, self._participation.state_dict()

        def participation() -> Participation:
            as_here = Participation(mixture)
            as_here.load_state_dict(state)
            return as_here

        staying = [name for name in self.sources if name not in self.stopped]
        rounds, planned = planned_rounds(
            participation, self._mixture_facts(staying), self._stop, self._max_rounds
        )
        return rounds, self.steps | planned

    @property
    def active(self) -> tuple[str, ...]:
        """The tasks that are still to make steps."""
        return tuple(n for n in self.sources if n not in self.stopped and self.steps[n] < self.planned[n])

    def next(self) -> Round | None:
        """The next round, or None after the last."""
        active = self.active
        if not active or self.number >= self.rounds:
            return None
        names = self._present(active)
        chunks: list[Chunk] = []
        label_counts, tokens, rows = {}, {}, {}
        for name in names:
            sequences = self.sources[name].batch(self.steps[name])
            label_counts[name] = sum(sequence.share for sequence in sequences)
            tokens[name] = sum(max(1, len(sequence.input_ids)) for sequence in sequences)
            rows[name] = tuple(sequence.row for sequence in sequences)
            chunks += self.cut.layout.cut(sequences, self.cut.max_chunk_tokens)
            self.steps[name] += 1
        self.log.add({name: len(own) for name, own in rows.items()}, tokens)
        groups = tuple(tuple(group) for group in self.cut.fill(chunks))
        self.number += 1
        return Round(self.number - 1, groups, label_counts, tokens, rows, self.cut.layout)

    def _present(self, active: Collection[str]) -> tuple[str, ...]:
        """Who takes part in the coming round.

        The mixture is asked about the tasks that the plan asked it about, those among them that have just made their
        last step too: its answer for the others may depend on them. Where tasks leave early a round may turn out
        to be of such tasks alone; then it is asked about the active ones.
        """
        staying = {name: self._facts[name].after(self.steps[name]) for name in self.sources}
        asked = [name for name in self._stop.active(staying) if name not in self.stopped]
        names = self._participation.next(self._mixture_facts(asked))
        present = tuple(name for name in names if name in active)
        return present or self._participation.next(self._mixture_facts(active))

    def skip_to(self, number: int) -> None:
        """Leave out the rounds before `number`, and the stored rows that they would have had; streams just go on."""
        while self.number < min(number, self.rounds) and (active := self.active):
            for name in self._present(active):
                self.steps[name] += 1
            self.number += 1

    def state_dict(self) -> dict[str, Any]:  # Any: plain JSON
        """Where the run stands, as JSON."""
        return {
            "number": self.number,
            "steps": dict(self.steps),
            "stopped": sorted(self.stopped),
            "losses": dict(self.losses),
            "participation": self._participation.state_dict(),
            "log": self.log.state_dict(),
            "sources": {name: source.state_dict() for name, source in self.sources.items()},
            "asked_for": self._asked_for,
            "rounds": self.rounds,
            "planned": dict(self.planned),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a run stood. Tasks that were not in it start at their first step.

        A run that was asked for the same keeps its plan, which a task that has left early since then does not change;
        otherwise what is left is planned anew.
        """
        self.number = state["number"]
        self.steps |= {name: steps for name, steps in state["steps"].items() if name in self.sources}
        self.stopped = set(state["stopped"]) & set(self.sources)
        self.losses = {name: loss for name, loss in state["losses"].items() if name in self.sources}
        self._participation.load_state_dict(state["participation"])
        for name, source in self.sources.items():
            if name in state["sources"]:
                source.load_state_dict(state["sources"][name])
        if state["asked_for"] == self._asked_for:
            self.rounds, self.planned = state["rounds"], dict(state["planned"])
        else:
            self.rounds, self.planned = self._planned_from_here()
        if not 0 <= self.number <= self.rounds:
            raise ValueError(f"number: expected a round from 0 to {self.rounds}, found {self.number}")
        self.log = MixtureLog(self._facts, self.planned)
        self.log.load_state_dict(state["log"])


class RoundLoader:
    """Yields the rounds of one epoch of the run at a time.

    Args:
        plan: The rounds.
        epochs: Into how many epochs the run is divided, for `epoch` in logs and callbacks.
    """

    def __init__(self, plan: RoundPlan, *, epochs: Fraction | int) -> None:
        self.plan = plan
        self.epochs = max(Fraction(1), Fraction(epochs))

    def __len__(self) -> int:
        return max(1, math.ceil(self.plan.rounds / self.epochs))

    def __iter__(self) -> Iterator[Round]:
        end = self._end_of(self.plan.number)
        while self.plan.number < end:
            following = self.plan.next()
            if following is None:
                return
            yield following

    def end_epoch(self) -> None:
        """Leave out what is left of the epoch that is under way; nothing where it is just over."""
        if self.plan.number % len(self):
            self.plan.skip_to(self._end_of(self.plan.number))

    def _end_of(self, number: int) -> int:
        return (number // len(self) + 1) * len(self)
