"""A run has the rounds that were planned, also where its mixture turns out otherwise than planned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hf_mtl.training.mixtures import Mixture, MixtureFacts
from runs import tasks, trainer_of


class _SlowsDown(Mixture):
    """Every task in every round while no loss is known, as it is while a run is planned; then most less often."""

    def rates(self, facts: MixtureFacts) -> Mapping[str, float]:
        return {
            name: 1.0 if task.loss is None or name == "mlp" else 0.5 for name, task in facts.tasks.items()
        }


def test_a_plan_ends_with_its_last_round(tiny_llama: Path, tmp_path: Path) -> None:
    plan = trainer_of(tiny_llama, tmp_path, tasks(), mixture=_SlowsDown(), max_steps=4).round_plan()
    assert plan.rounds == 4 and set(plan.planned.values()) == {4}
    rounds = []
    while (following := plan.next()) is not None:
        rounds.append(following)
        plan.losses |= dict.fromkeys(following.label_counts, 1.0)
    assert [each.number for each in rounds] == [0, 1, 2, 3]
    assert plan.active == ("verbs", "c/d") and plan.steps["mlp"] == 4
    assert plan.log.summary()["rounds"] == 4


def test_a_round_without_a_task_is_the_round_of_the_others(tiny_llama: Path, tmp_path: Path) -> None:
    first = (
        trainer_of(tiny_llama, tmp_path, tasks(), token_budget=200, max_chunk_tokens=100).round_plan().next()
    )
    assert first is not None
    rest = first.without({"mlp"})
    assert rest.label_counts == {name: n for name, n in first.label_counts.items() if name != "mlp"}
    routes = [{chunk.route for chunk in group} for group in rest.groups]
    assert set.union(*routes) == {"verbs", "c/d"} and all(routes)
    others = [[chunk for chunk in group if chunk.route != "mlp"] for group in first.groups]
    assert [list(group) for group in rest.groups] == [group for group in others if group]
