"""From rates to who takes part: by counting, so that the rates are kept to within one round and nothing is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

from hf_mtl.errors import ConfigError, did_you_mean, listing
from hf_mtl.training.mixtures.mixture import Mixture, MixtureFacts

__all__ = ["Participation"]

TOLERANCE = 1e-9  # a credit this close to 1 counts as 1: ten times 0.1 is less than 1 in binary


@final
class Participation:
    """Says who takes part in each round.

    Stride scheduling (Waldspurger and Weihl 1995) in its simplest form: in every round each active task's credit grows
    by its rate; a task whose credit reaches 1 takes part and pays 1. Over any stretch with constant rates a task takes
    part in rate x rounds of them, to within one. The credits of tasks that leave are kept, those of tasks that come
    start at 0; neither touches the others.

    Args:
        mixture: Where the rates come from.

    Example:
        >>> from hf_mtl.training.mixtures import Rates, TaskFacts
        >>> participation = Participation(Rates({"a": 1.0, "b": 0.5}))
        >>> task = TaskFacts(rows=8, tokens_per_batch=9.0, batch_size=4, planned_steps=2)
        >>> [participation.next(MixtureFacts(i, 4, {"a": task, "b": task})) for i in range(4)]
        [('a',), ('a', 'b'), ('a',), ('a', 'b')]
    """

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self._credits: dict[str, float] = {}

    def next(self, facts: MixtureFacts) -> tuple[str, ...]:
        """Return who takes part in the coming round, in the order of the suite: never nobody.

        A round in which nobody would take part is not a round: time goes on until somebody does.

        Args:
            facts: The coming round and the active tasks.

        Raises:
            ConfigError: If the mixture's rates are not one number in [0, 1] per active task, or all below 1e-9.
        """
        return self.take(self.rates(facts))

    def rates(self, facts: MixtureFacts) -> dict[str, float]:
        """Ask the mixture for the coming round's rates, and check them; once per round, since it may remember.

        Raises:
            ConfigError: As `next`.
        """
        rates = self.mixture.rates(facts)
        problems = _problems(rates, facts)
        if problems:
            raise ConfigError(
                [f"mixture {type(self.mixture).__name__}, round {facts.round}: {text}" for text in problems]
            )
        return {name: float(rates[name]) for name in facts.tasks}

    def take(self, rates: Mapping[str, float]) -> tuple[str, ...]:
        """Return who takes part in the coming round at these rates, as `rates` returned them."""
        present = []
        for name, rate in rates.items():
            if (
                rate >= 1.0
            ):  # it pays at once what it earns; not computed, so that its credit stays to the bit
                present.append(name)
                continue
            credit = self._credits.get(name, 0.0) + rate
            if credit >= 1.0 - TOLERANCE:
                present.append(name)
                credit -= 1.0
            self._credits[name] = credit
        return tuple(present) if present else self._skip_empty_rounds(rates)

    def _skip_empty_rounds(self, rates: Mapping[str, float]) -> tuple[str, ...]:
        waits = {
            name: math.ceil((1.0 - TOLERANCE - self._credits[name]) / rate)
            for name, rate in rates.items()
            if rate >= TOLERANCE
        }
        skipped = min(waits.values())
        present = tuple(name for name, wait in waits.items() if wait == skipped)
        for name in waits:
            self._credits[name] += skipped * rates[name] - (name in present)
        return present

    def state_dict(self) -> dict[str, object]:
        """Return the credits and what the mixture remembers, as plain JSON."""
        return {
            "mixture": type(self.mixture).__name__,
            "credits": dict(self._credits),
            "state": self.mixture.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take over a state.

        Args:
            state: What `state_dict` returned. If its mixture was of another class, the credits are taken over and this
                mixture starts anew.
        """
        credits, remembered = state["credits"], state["state"]
        assert isinstance(credits, Mapping) and isinstance(remembered, Mapping)
        self._credits = {str(name): float(credit) for name, credit in credits.items()}
        if state["mixture"] == type(self.mixture).__name__:
            self.mixture.load_state_dict(remembered)


def _problems(rates: Mapping[str, float], facts: MixtureFacts) -> list[str]:
    if rates.keys() == facts.tasks.keys():
        inside = [rate for rate in rates.values() if 0.0 <= rate <= 1.0]  # without NaN
        if len(inside) == len(rates) and max(inside, default=0.0) >= TOLERANCE:
            return []
    known = listing(facts.tasks)
    problems = [
        f"gives a rate for {name!r}, which is no active task; active are {known}.{did_you_mean(name, facts.tasks)}"
        for name in rates
        if name not in facts.tasks
    ]
    missing = [name for name in facts.tasks if name not in rates]
    if missing:
        problems.append(f"gives no rate for {listing(missing)}; every active task needs one, 0 to sit out.")
    problems += [
        f"gives {name!r} the rate {rate!r}; expected a number in [0, 1]."
        for name, rate in rates.items()
        if not 0.0 <= rate <= 1.0
    ]
    if not problems:
        problems.append(
            f"gives every active task ({known}) a rate of 0, so nobody could ever take part again."
        )
    return problems
