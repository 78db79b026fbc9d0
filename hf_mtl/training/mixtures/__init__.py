"""Mixtures: who takes part in a round. No torch, no randomness; all state is plain JSON.

A mixture gives each active task a rate, the share of the rounds in which it takes part; `Participation` keeps the rates
by counting; `planned_rounds` goes through a run in advance.

>>> tasks = {"large": TaskFacts(rows=1600, tokens_per_batch=400.0, batch_size=8, planned_steps=200),
...          "small": TaskFacts(rows=100, tokens_per_batch=400.0, batch_size=8, planned_steps=200)}
>>> mixture = mixture_from({"kind": "temperature", "temperature": 2.0, "unit": "tokens"}, list(tasks))
>>> facts = MixtureFacts(round=0, rounds=0, tasks=tasks)
>>> mixture.rates(facts)
{'large': 1.0, 'small': 0.25}
>>> planned_rounds(lambda: Participation(mixture), facts, StopRule.FIRST_EXHAUSTED)
(200, {'large': 200, 'small': 50})
"""

from hf_mtl.training.mixtures.kinds import (
    All,
    Annealed,
    Proportional,
    Rates,
    RoundRobin,
    Sequential,
    Temperature,
)
from hf_mtl.training.mixtures.log import MixtureLog
from hf_mtl.training.mixtures.mixture import Mixture, MixtureFacts, TaskFacts
from hf_mtl.training.mixtures.parsing import MIXTURES, mixture_from, mixture_problems
from hf_mtl.training.mixtures.participation import Participation
from hf_mtl.training.mixtures.planning import MAX_PLANNED_ROUNDS, StopRule, planned_rounds

__all__ = [
    "MAX_PLANNED_ROUNDS",
    "MIXTURES",
    "All",
    "Annealed",
    "Mixture",
    "MixtureFacts",
    "MixtureLog",
    "Participation",
    "Proportional",
    "Rates",
    "RoundRobin",
    "Sequential",
    "StopRule",
    "TaskFacts",
    "Temperature",
    "mixture_from",
    "mixture_problems",
    "planned_rounds",
]
