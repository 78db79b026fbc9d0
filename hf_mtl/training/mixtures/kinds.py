"""The mixtures that come with the library."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from hf_mtl.bounds import COUNT, POSITIVE, Bounds, bound_problems
from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.training.mixtures.mixture import Mixture, MixtureFacts, TaskFacts

__all__ = ["All", "Annealed", "Proportional", "Rates", "RoundRobin", "Sequential", "Temperature"]

_RATE = Bounds(0, 1, above=True)
UNITS = ("examples", "tokens")


@final
class All(Mixture):
    """Every active task takes part in every round; the default."""

    steady: ClassVar[bool] = True

    def rates(self, facts: MixtureFacts) -> dict[str, float]:
        """Return 1 for every task."""
        return dict.fromkeys(facts.tasks, 1.0)


@final
class Sequential(Mixture):
    """One task after the other, in the order of the suite, each until it has made its planned steps."""

    steady: ClassVar[bool] = True

    def rates(self, facts: MixtureFacts) -> dict[str, float]:
        """Return 1 for the first task that has planned steps left, else 0."""
        unfinished = (name for name, task in facts.tasks.items() if not task.done)
        turn = next(unfinished, None)
        return {name: float(name == turn) for name in facts.tasks}


@final
class RoundRobin(Mixture):
    """One task per round, in turn; a task that comes later takes its turn after those that wait already.

    A run that ends at the first exhausted task ends with a whole turn, so that every task has made as many steps; this
    is the order of sentence-transformers' round-robin sampler.

    >>> task = TaskFacts(rows=8, tokens_per_batch=9.0, batch_size=4, planned_steps=2)
    >>> mixture = RoundRobin()
    >>> [mixture.rates(MixtureFacts(i, 4, {"a": task, "b": task})) for i in range(2)]
    [{'a': 1.0, 'b': 0.0}, {'a': 0.0, 'b': 1.0}]
    """

    def __init__(self) -> None:
        self._queue: list[str] = []
        self._turn: list[str] = []  # those of the queue that still wait in this turn

    def rates(self, facts: MixtureFacts) -> dict[str, float]:
        """Return 1 for the task whose turn it is, else 0, and move that task to the end of the queue."""
        waiting = [name for name in self._queue if name in facts.tasks]
        waiting += [name for name in facts.tasks if name not in self._queue]
        self._turn = [name for name in self._turn if name in facts.tasks] or waiting
        self._turn = self._turn[1:]
        self._queue = waiting[1:] + waiting[:1]
        return {name: float(name == waiting[0]) for name in facts.tasks} if waiting else {}

    def in_turn(self, tasks: Collection[str]) -> bool:
        """Return whether some of these tasks have not yet had theirs."""
        return any(name in tasks for name in self._turn)

    def state_dict(self) -> dict[str, object]:
        """Return the queue, next task first, and who of it waits in this turn."""
        return {"queue": list(self._queue), "turn": list(self._turn)}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take over the queue and the turn."""
        queue, turn = state["queue"], state["turn"]
        assert isinstance(queue, list) and isinstance(turn, list)
        self._queue, self._turn = list(queue), list(turn)


@final
class Rates(Mixture):
    """Rates as they are given, for example `Rates({"a": 1.0, "b": 0.25})`: b takes part in every fourth round.

    Args:
        rates: One rate per task, above 0 and at most 1. When all tasks that are left have small rates, the
            rounds in which nobody would take part are left out.

    Raises:
        ConfigError: If a rate is not a number above 0 and at most 1.
    """

    steady: ClassVar[bool] = True

    def __init__(self, rates: Mapping[str, float]) -> None:
        if not isinstance(rates, Mapping):
            raise ConfigError(f"rates must be a mapping of task to rate, found {rates!r}.")
        problems = [
            f"the rate of task {name!r}: {problem}"
            for name, rate in rates.items()
            if (problem := _RATE.problem(rate)) is not None
        ]
        if problems:
            raise ConfigError(problems)
        self._rates = {name: float(rate) for name, rate in rates.items()}

    def __repr__(self) -> str:
        """Return the rates too."""
        return f"Rates({self._rates})"

    def rates(self, facts: MixtureFacts) -> dict[str, float]:
        """Return the given rates of the active tasks."""
        return {name: self._rates[name] for name in facts.tasks if name in self._rates}

    def name_problems(self, names: Sequence[str]) -> list[str]:
        """Return one message per unknown task, and one for all that have no rate."""
        problems = [
            f"rates name a task {name!r} that does not train; there are {listing(names)}.{did_you_mean(name, names)}"
            for name in self._rates
            if name not in names
        ]
        missing = [name for name in names if name not in self._rates]
        return problems + (
            [f"rates are missing for {listing(missing)}; give each a rate."] if missing else []
        )


@dataclass(frozen=True, kw_only=True)
class _BySize(Mixture):
    """Shares that grow with min(rows, cap) ** (1 / temperature); the most frequent task is in every round."""

    bounds: ClassVar[Mapping[str, Bounds]] = {"cap": COUNT.or_none()}
    cap: int | None = None
    unit: str = "examples"

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise ConfigError(problems)

    def _problems(self) -> list[str]:
        problems = bound_problems(self.bounds, vars(self))
        if self.unit not in UNITS:
            hint = did_you_mean(str(self.unit), UNITS)
            problems.append(f"unit must be one of {listing(UNITS)}, found {self.unit!r}.{hint}")
        return problems

    @abstractmethod
    def _temperature(self, facts: MixtureFacts) -> float:
        """Return the coming round's temperature."""

    def _size(self, task: TaskFacts) -> int | None:
        if task.rows is None or self.cap is None:
            return self.cap if task.rows is None else task.rows
        return min(task.rows, self.cap)

    def rates(self, facts: MixtureFacts) -> dict[str, float]:
        """Return rates by which a round's expected examples, or tokens, have the shares that the mixture asks for.

        Raises:
            ConfigError: For streams of unknown length without a `cap`, which would stand for their size.
        """
        sizes = {name: self._size(task) for name, task in facts.tasks.items()}
        known = {name: size for name, size in sizes.items() if size is not None}
        if len(known) < len(sizes):
            raise ConfigError(
                f"mixture {type(self).__name__}: {listing(sizes.keys() - known.keys())} stream rows of unknown "
                f"number; set cap, which then stands for their size, or give rates."
            )
        temperature, largest = self._temperature(facts), max(known.values(), default=1)
        power, tokens = 1.0 / temperature, self.unit == "tokens"
        weights = {}
        for name, task in facts.tasks.items():
            each = task.tokens_per_batch if tokens else task.examples_per_batch
            weights[name] = (known[name] / largest) ** power / each
        most = max(weights.values(), default=1.0)
        return {name: weight / most for name, weight in weights.items()}


@final
@dataclass(frozen=True, kw_only=True)
class Proportional(_BySize):
    """A round's expected examples (or tokens) of a task are proportional to its rows.

    Examples-proportional mixing of Raffel et al. 2020, arXiv:1910.10683, section 3.5.2: share_i = min(rows_i, cap)
    / sum_j min(rows_j, cap).

    Args:
        cap: Most rows that a task counts for (K in the paper); it stands for the size of a stream of unknown length.
            Default: no cap.
        unit: What is shared out, "examples" or "tokens".

    Raises:
        ConfigError: With all wrong values at once.
    """

    steady: ClassVar[bool] = True

    def _temperature(self, facts: MixtureFacts) -> float:
        return 1.0


@final
@dataclass(frozen=True, kw_only=True)
class Temperature(_BySize):
    """Between proportional (temperature 1) and equal shares (a high temperature).

    Temperature-scaled mixing of Raffel et al. 2020, arXiv:1910.10683, section 3.5.2: share_i is proportional to
    min(rows_i, cap) ** (1 / temperature).

    Args:
        temperature: Above 0; below 1 it favours the large tasks.
        cap: Most rows that a task counts for; it stands for the size of a stream of unknown length. Default: no cap.
        unit: What is shared out, "examples" or "tokens".

    Raises:
        ConfigError: With all wrong values at once.

    Example:
        >>> large, small = TaskFacts(1600, 40.0, 8, 200), TaskFacts(100, 40.0, 8, 13)
        >>> rates = Temperature(temperature=2.0, unit="tokens").rates(MixtureFacts(0, 0, {"l": large, "s": small}))
        >>> rates  # a quarter, the root of one sixteenth
        {'l': 1.0, 's': 0.25}
    """

    steady: ClassVar[bool] = True
    bounds: ClassVar[Mapping[str, Bounds]] = {"temperature": POSITIVE, **_BySize.bounds}
    temperature: float = 2.0

    def _temperature(self, facts: MixtureFacts) -> float:
        return self.temperature


@final
@dataclass(frozen=True, kw_only=True)
class Annealed(_BySize):
    """A temperature that goes linearly from `start` to `end`: large tasks first, more equal shares later.

    The idea is annealed sampling of Stickland and Murray 2019, arXiv:1902.02671, section 4: share_i is proportional to
    rows_i ** a, and a falls from 1 to 0.2. Here a = 1 / temperature, and the temperature is what is linear; the
    defaults have the paper's two ends.

    The way is as many rounds long as the longest task has planned steps, also if that task stops early: so it depends
    on nothing that only the plan of the run could tell, and where one task stops, no other gets fewer steps than
    planned. In rounds after that the temperature stays at `end`; a run that stops at the first exhausted task may stop
    on the way.

    Args:
        start: Temperature of the first round, above 0.
        end: Temperature at the end of the way, above 0.
        cap: Most rows that a task counts for; it stands for the size of a stream of unknown length. Default: no cap.
        unit: What is shared out, "examples" or "tokens".

    Raises:
        ConfigError: With all wrong values at once.
    """

    bounds: ClassVar[Mapping[str, Bounds]] = {"start": POSITIVE, "end": POSITIVE, **_BySize.bounds}
    start: float = 1.0
    end: float = 5.0

    def _temperature(self, facts: MixtureFacts) -> float:
        active = max((task.planned_steps for task in facts.tasks.values()), default=1)
        last = (facts.longest or active) - 1
        way = min(facts.round / last, 1.0) if last > 0 else 0.0
        return self.start + (self.end - self.start) * way
