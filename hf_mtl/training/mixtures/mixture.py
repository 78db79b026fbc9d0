"""What a mixture is asked and what it learns: the hook for mixtures of one's own, dynamic ones too."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Mixture", "MixtureFacts", "TaskFacts"]


@dataclass(frozen=True)
class TaskFacts:
    """What a mixture may know of one task.

    Args:
        rows: Training rows; None for a stream of unknown length.
        tokens_per_batch: Mean tokens of one of its batches.
        batch_size: Rows of one batch.
        planned_steps: Optimizer steps that the task is to make, at least 1.
        steps_done: Optimizer steps that it has made.
        loss: Its last loss; None before its first step, and whenever a run is planned in advance.
    """

    rows: int | None
    tokens_per_batch: float
    batch_size: int
    planned_steps: int
    steps_done: int = 0
    loss: float | None = None

    @property
    def done(self) -> bool:
        """Whether the task has made its planned steps."""
        return self.steps_done >= self.planned_steps

    def after(self, steps: int) -> TaskFacts:
        """Return what is known in advance of the task after so many more steps: all but the loss."""
        # By hand: a plan does it in every round, and dataclasses.replace takes three times as long.
        done = self.steps_done + steps
        return TaskFacts(self.rows, self.tokens_per_batch, self.batch_size, self.planned_steps, done)

    @property
    def examples_per_batch(self) -> float:
        """Mean rows of one batch; less than `batch_size` where an epoch ends with a short batch.

        >>> TaskFacts(rows=5, tokens_per_batch=30.0, batch_size=3, planned_steps=2).examples_per_batch
        2.5
        """
        if self.rows is None:
            return float(self.batch_size)
        return self.rows / math.ceil(self.rows / self.batch_size)


@dataclass(frozen=True)
class MixtureFacts:
    """What a mixture knows when it is asked for the rates of a round.

    Args:
        round: The coming round, counted from 0.
        rounds: Rounds of the whole run as far as the caller knows them; 0 while the run is being planned.
        tasks: The active tasks, those that can take part, in the order of the suite.
        longest: The most steps that a task of the run is to make, those included that have left; 0 if it is not known.
    """

    round: int
    rounds: int
    tasks: Mapping[str, TaskFacts]
    longest: int = 0


class Mixture(ABC):
    """How often each task takes part in a round.

    A rate is the share of the rounds in which a task takes part, as long as the rates stay as they are: 1 is
    every round, 0.25 every fourth. Rates are kept by counting, not by drawing (`Participation`), so a mixture
    has no seed. To write one, derive from this class and give `rates`; a mixture that remembers anything from
    round to round also gives the two `state_dict` methods, and one with options a `repr` that shows them (a dataclass
    has it): by it a resume sees that the mixture is another one, and plans the rest of the run anew.

    Attributes:
        steady: Whether the rates only change when a task reaches its planned steps, leaves or comes. It makes
            planning a long run quick, and nothing else; a mixture that looks at the round, the loss or the
            steps done in any other way must leave it False.

    Example:
        >>> class WorstFirst(Mixture):
        ...     def rates(self, facts):
        ...         losses = {name: task.loss or 1.0 for name, task in facts.tasks.items()}
        ...         return {name: loss / max(losses.values()) for name, loss in losses.items()}
        >>> tasks = {"a": TaskFacts(100, 80.0, 4, 25, 3, loss=2.0), "b": TaskFacts(100, 80.0, 4, 25, 3, loss=0.5)}
        >>> WorstFirst().rates(MixtureFacts(round=3, rounds=25, tasks=tasks))
        {'a': 1.0, 'b': 0.25}
    """

    steady: ClassVar[bool] = False

    def __repr__(self) -> str:
        """Return the class and the options; no address, so that equal mixtures of two runs look alike."""
        return f"{type(self).__name__}()"

    @abstractmethod
    def rates(self, facts: MixtureFacts) -> Mapping[str, float]:
        """Return the coming round's rate, in [0, 1], of each of `facts.tasks`; asked once per round."""

    def in_turn(self, tasks: Collection[str]) -> bool:
        """Return whether some of these tasks still wait in a turn that has begun; by default there are no turns.

        A run that ends with a task's last planned step (`StopRule`) goes on until the turn is over.
        """
        return False

    def name_problems(self, names: Sequence[str]) -> list[str]:
        """Return what is wrong with this mixture for tasks of these names; by default nothing."""
        return []

    def state_dict(self) -> dict[str, object]:
        """Return what the mixture remembers, as plain JSON; by default nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, object]) -> None:  # noqa: B027 - most mixtures remember nothing
        """Take over what `state_dict` returned."""
