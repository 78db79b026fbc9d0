"""When a run ends, and how many steps each task will have made by then: what learning-rate schedules must know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from enum import StrEnum

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.training.mixtures.mixture import Mixture, MixtureFacts, TaskFacts
from hf_mtl.training.mixtures.participation import Participation

__all__ = ["MAX_PLANNED_ROUNDS", "StopRule", "planned_rounds"]

MAX_PLANNED_ROUNDS = 10_000_000


class StopRule(StrEnum):
    """When a task leaves, and when the run ends.

    `StopRule("once")` reads a setting; an unknown one raises a ConfigError.

    >>> tasks = {"a": TaskFacts(8, 9.0, 4, planned_steps=2, steps_done=2), "b": TaskFacts(8, 9.0, 4, 5, 2)}
    >>> [(rule.value, list(rule.active(tasks)), rule.ended(tasks)) for rule in StopRule]
    [('once', ['b'], False), ('first_exhausted', ['a', 'b'], True), ('all_exhausted', ['a', 'b'], False)]
    """

    ONCE = "once"  # every task makes its planned steps, then leaves
    FIRST_EXHAUSTED = "first_exhausted"  # the run ends as soon as one task has made its planned steps
    ALL_EXHAUSTED = (
        "all_exhausted"  # tasks go on, repeating their rows, until every one has made its planned steps
    )

    @classmethod
    def _missing_(cls, value: object) -> StopRule:
        known = [rule.value for rule in cls]
        hint = did_you_mean(str(value), known)
        raise ConfigError(f"There is no stop rule {value!r}; known are {listing(known)}.{hint}")

    def active(self, tasks: Mapping[str, TaskFacts]) -> dict[str, TaskFacts]:
        """Return those of all tasks that can still take part, in their order."""
        return {name: task for name, task in tasks.items() if self is not StopRule.ONCE or not task.done}

    def ended(self, tasks: Mapping[str, TaskFacts]) -> bool:
        """Return whether the run is over, given all its tasks, those that have left included; of none it is."""
        enough = any if self is StopRule.FIRST_EXHAUSTED else all
        return not tasks or enough(task.done for task in tasks.values())


def planned_rounds(
    participation_factory: Callable[[], Participation],
    facts: MixtureFacts,
    stop_rule: StopRule,
    max_rounds: int | None = None,
) -> tuple[int, dict[str, int]]:
    """Go through a run in advance, without data or model, from any of its rounds to its end.

    It is exact for every mixture whose rates do not depend on the loss, which is None here, or on
    `MixtureFacts.rounds`, which stays as given.

    Args:
        participation_factory: Gives the participation to start from: a new one, or one with a loaded state. What its
            mixture remembers is put back at the end.
        facts: The first round to come (0, or that of a resume) and *all* tasks with the steps they have done.
        stop_rule: When tasks leave and the run ends.
        max_rounds: The run's limit in rounds, counted from round 0; None has no limit.

    Returns:
        The rounds of the whole run, and each task's steps in it, both including what was done before.

    Raises:
        ConfigError: If there is no `max_rounds` and the run has not ended after `MAX_PLANNED_ROUNDS` (10 million) more
            rounds; and whatever the mixture raises.

    Example:
        >>> from hf_mtl.training.mixtures import Rates
        >>> tasks = {"a": TaskFacts(8, 9.0, 4, planned_steps=6), "b": TaskFacts(8, 9.0, 4, planned_steps=4)}
        >>> def participation():
        ...     return Participation(Rates({"a": 1.0, "b": 0.5}))
        >>> for rule in StopRule:  # alone, b takes part in every round
        ...     print(rule, *planned_rounds(participation, MixtureFacts(0, 0, tasks), rule))
        once 7 {'a': 6, 'b': 4}
        first_exhausted 6 {'a': 6, 'b': 3}
        all_exhausted 8 {'a': 8, 'b': 4}
    """
    participation = participation_factory()
    remembered = deepcopy(participation.mixture.state_dict())
    try:
        return _simulated(participation, facts, stop_rule, max_rounds)
    finally:
        participation.mixture.load_state_dict(remembered)


def _simulated(
    participation: Participation, facts: MixtureFacts, stop_rule: StopRule, max_rounds: int | None
) -> tuple[int, dict[str, int]]:
    tasks = {name: task.after(0) for name, task in facts.tasks.items()}
    number = facts.round
    last = number + MAX_PLANNED_ROUNDS if max_rounds is None else max_rounds
    while number < last and not _ended(participation.mixture, stop_rule, tasks):
        active = stop_rule.active(tasks)
        rates = participation.rates(MixtureFacts(number, facts.rounds, active, facts.longest))
        left = {name: task.planned_steps - task.steps_done for name, task in active.items()}
        most = last - number if participation.mixture.steady else 1
        passed, made = _stretch(participation, rates, left, most)
        number += passed
        for name, steps in made.items():
            if steps:
                tasks[name] = tasks[name].after(steps)
    if max_rounds is None and not _ended(participation.mixture, stop_rule, tasks):
        late = [name for name, task in tasks.items() if not task.done]
        raise ConfigError(
            f"mixture {type(participation.mixture).__name__}: the run has not ended after {MAX_PLANNED_ROUNDS} rounds; "
            f"{listing(late)} had not made the planned steps. Set max_steps, or raise their rates."
        )
    return number, {name: task.steps_done for name, task in tasks.items()}


def _ended(mixture: Mixture, stop_rule: StopRule, tasks: Mapping[str, TaskFacts]) -> bool:
    """Whether the run is over: by its rule, and not in the middle of a mixture's turn."""
    return stop_rule.ended(tasks) and not mixture.in_turn(stop_rule.active(tasks))


def _stretch(
    participation: Participation, rates: Mapping[str, float], left: Mapping[str, int], most: int
) -> tuple[int, dict[str, int]]:
    """Go through rounds of the same rates until a task reaches its planned steps, `most` at most.

    Returns:
        The rounds, and the steps that each task made in them.
    """
    if {0.0, 1.0}.issuperset(rates.values()):  # no credit changes: all rounds are alike
        rounds = min([most, *(left[name] for name, rate in rates.items() if rate and left[name] > 0)])
        return rounds, {name: rounds if rate else 0 for name, rate in rates.items()}
    made = dict.fromkeys(rates, 0)
    for rounds in range(1, most + 1):
        reached = False
        for name in participation.take(rates):
            made[name] += 1
            reached = reached or made[name] == left[name]
        if reached:
            return rounds, made
    return most, made
