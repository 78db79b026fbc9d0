"""A run has the rounds that were planned, also where its mixture turns out otherwise than planned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from datasets import Dataset
from peft import LoraConfig

from hf_mtl import Task
from hf_mtl.training.mixtures import Mixture, MixtureFacts
from runs import rows, tasks, trainer_of


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


def _values(name: str, data: Dataset, batch_size: int) -> Task:
    return Task(name, kind="regression", train=data, adapter=LoraConfig(r=2), batch_size=batch_size)


def test_whole_epochs_have_the_planned_shares(tiny_llama: Path, tmp_path: Path) -> None:
    """Of rows and of tokens, with unlike batches and unlike lengths."""
    texts = {"long": rows("long", 8)["text"], "short": ["a", "b"] * 3}
    data = {name: Dataset.from_list([{"text": t, "label": 0.5} for t in own]) for name, own in texts.items()}
    suite = {"long": _values("long", data["long"], 2), "short": _values("short", data["short"], 3)}
    plan = trainer_of(tiny_llama, tmp_path, suite, max_steps=-1, num_train_epochs=1).round_plan()
    while plan.next() is not None:
        pass
    told = plan.log.summary()["tasks"]
    assert isinstance(told, dict)
    for own in told.values():
        assert own["examples_share"] == pytest.approx(own["planned_examples_share"])
        assert own["tokens_share"] == pytest.approx(own["planned_tokens_share"])
    assert told["long"]["tokens_share"] > 0.9 and told["long"]["examples_share"] == pytest.approx(8 / 14)


def test_the_row_that_broke_a_loss_is_named(tiny_llama: Path, tmp_path: Path) -> None:
    """The square of 1e30 is infinite in fp32; the other task has micro-batches of its own."""
    broken = Dataset.from_list([{"text": f"good {i}", "label": 1e30 if i == 2 else 0.5} for i in range(4)])
    other = Dataset.from_list([{"text": "fine " * 8, "label": 0.5}] * 4)
    suite = {"broken": _values("broken", broken, 4), "other": _values("other", other, 4)}
    trainer = trainer_of(tiny_llama, tmp_path, suite, max_steps=1, token_budget=60, max_chunk_tokens=60)
    assert len(list(trainer.round_plan().next().micro_batches)) > 1  # type: ignore[union-attr]
    trainer.train()
    assert [(i["task"], i["rows"], i["problem"]) for i in trainer.containment.incidents] == [
        ("broken", [2], "its loss is inf"),
        ("broken", [], "the run ends, and its latest loss or gradient is not finite"),
    ]
