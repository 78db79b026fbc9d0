"""What a mixture came to: planned shares against actual ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from hf_mtl.errors import ConfigError, listing
from hf_mtl.training.mixtures.mixture import TaskFacts

__all__ = ["MixtureLog"]

COUNTS = ("steps", "examples", "tokens")


@final
class MixtureLog:
    """Counts rounds, and per task steps, examples and tokens.

    Args:
        tasks: What is known of each task; its batches' mean examples and tokens turn planned steps into planned shares.
        planned_steps: The steps that each task makes in the whole run, as `planned_rounds` returns them.

    Raises:
        ConfigError: If a task of one of the two is missing in the other.

    Example:
        >>> tasks = {"a": TaskFacts(8, 9.0, 4, planned_steps=2), "b": TaskFacts(8, 27.0, 4, planned_steps=2)}
        >>> log = MixtureLog(tasks, planned_steps={"a": 2, "b": 2})
        >>> log.add(examples={"a": 4}, tokens={"a": 10})
        >>> log.add(examples={"a": 4, "b": 4}, tokens={"a": 10, "b": 20})
        >>> log.summary()["tasks"]["b"]  # doctest: +NORMALIZE_WHITESPACE
        {'steps': 1, 'examples': 4, 'tokens': 20, 'examples_share': 0.3333333333333333, 'tokens_share': 0.5,
         'planned_examples_share': 0.5, 'planned_tokens_share': 0.75}
    """

    def __init__(self, tasks: Mapping[str, TaskFacts], planned_steps: Mapping[str, int]) -> None:
        strangers = tasks.keys() ^ planned_steps.keys()
        if strangers:
            raise ConfigError(
                f"Facts and planned steps must name the same tasks; only one has {listing(strangers)}."
            )
        examples = {name: planned_steps[name] * task.examples_per_batch for name, task in tasks.items()}
        tokens = {name: planned_steps[name] * task.tokens_per_batch for name, task in tasks.items()}
        self._planned = {"examples": _shares(examples), "tokens": _shares(tokens)}
        self.rounds = 0
        self._counts = {count: dict.fromkeys(tasks, 0) for count in COUNTS}

    def add(self, examples: Mapping[str, int], tokens: Mapping[str, int]) -> None:
        """Count one round.

        Args:
            examples: Rows of each task that took part.
            tokens: Tokens of each task that took part.
        """
        self.rounds += 1
        for name in examples:
            for count, more in zip(COUNTS, (1, examples[name], tokens[name]), strict=True):
                self._counts[count][name] += more

    def summary(self) -> dict[str, object]:
        """Return the counts and shares of every task so far, next to the shares planned for the whole run.

        Returns:
            `{"rounds": n, "tasks": {name: {...}}}`, plain JSON; shares are in [0, 1], and 0 before the first round.
        """
        actual = {unit: _shares(self._counts[unit]) for unit in self._planned}
        tasks = {
            name: {
                **{count: self._counts[count][name] for count in COUNTS},
                **{f"{unit}_share": shares[name] for unit, shares in actual.items()},
                **{f"planned_{unit}_share": shares[name] for unit, shares in self._planned.items()},
            }
            for name in self._counts["steps"]
        }
        return {"rounds": self.rounds, "tasks": tasks}

    def state_dict(self) -> dict[str, object]:
        """Return the counts, as plain JSON."""
        return {"rounds": self.rounds, "counts": {count: dict(of) for count, of in self._counts.items()}}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Take over the counts of the tasks that are still there; those of new tasks start at 0."""
        rounds, counts = state["rounds"], state["counts"]
        assert isinstance(rounds, int) and isinstance(counts, Mapping)
        self.rounds = rounds
        for count, of in self._counts.items():
            of.update({name: int(counts[count].get(name, 0)) for name in of})


def _shares(amounts: Mapping[str, float]) -> dict[str, float]:
    total = sum(amounts.values())
    return {name: amount / total if total else 0.0 for name, amount in amounts.items()}
