"""A long run is planned quickly: a steady mixture is asked again only when a task comes to its end."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from hf_mtl.training.mixtures import Mixture, MixtureFacts, TaskFacts, mixture_from
from hf_mtl.training.mixtures.participation import Participation
from hf_mtl.training.mixtures.planning import StopRule, planned_rounds

TASKS = {
    "a": TaskFacts(rows=8_000, tokens_per_batch=9.0, batch_size=4, planned_steps=20_000),
    "b": TaskFacts(rows=2_000, tokens_per_batch=9.0, batch_size=4, planned_steps=5_000),
}


class _Counted(Mixture):
    """Another mixture, and how often it is asked."""

    def __init__(self, inner: Mixture, *, steady: bool) -> None:
        self.inner = inner
        self.steady = steady  # type: ignore[misc]  # for this object alone
        self.asked = 0

    def rates(self, facts: MixtureFacts) -> Mapping[str, float]:
        self.asked += 1
        return self.inner.rates(facts)


@pytest.mark.parametrize(
    "mixture",
    ["all", "sequential", "proportional", {"kind": "temperature", "temperature": 2.0}, {"a": 1.0, "b": 0.3}],
    ids=str,
)
def test_a_steady_mixture_is_asked_at_the_ends_of_tasks_only(mixture: str | dict[str, object]) -> None:
    facts, plans = MixtureFacts(0, 0, TASKS), []
    kind = mixture if isinstance(mixture, str) or "kind" in mixture else {"kind": "rates", "rates": mixture}
    for steady in (None, False):
        inner = mixture_from(kind, list(TASKS))
        counted = _Counted(inner, steady=inner.steady if steady is None else steady)
        plans.append(planned_rounds(lambda: Participation(counted), facts, StopRule.ONCE, 300))  # noqa: B023
        assert counted.asked == (1 if steady is None else 300)
    assert plans[0] == plans[1]
