"""Objectives on real passes: every task's own gradient of the shared parameters out of one backward pass."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from plain_peft import relative_error, shake
from torch import Tensor
from transformers import AutoTokenizer

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, RoutedModel, Task
from hf_mtl.adapters import LayerUpdate, LoraUpdate
from hf_mtl.errors import CheckpointError, ConfigError
from hf_mtl.models import load_base, lora_layers, losses_of
from hf_mtl.objectives import SharedGradients, objective_of
from hf_mtl.relations import Relations
from hf_mtl.training.combining import Combining

NAMES = ("a", "b", "c")
RELATIONS = {"a": {"b": 1.0, "c": 0.3}, "b": {"a": 1.0, "c": 0.2}, "c": {"a": 0.3, "b": 0.2}}
STATEFUL = ("gradnorm", "dwa", "uncertainty", "random", "gradient_norm", "pcgrad")


def _change(update: LayerUpdate) -> Tensor:
    assert isinstance(update, LoraUpdate)
    return update.scale * update.lora_B @ update.lora_A


def _rows(name: str, count: int) -> Dataset:
    return Dataset.from_list(
        [{"text": " ".join([name, *["word"] * (i % 5)]), "label": f"x{i % 3}"} for i in range(count)]
    )


def trainer_of(folder: Path, out: Path, *, dtype: str = "float64", **changes: Any) -> MultiTaskTrainer:
    """Three tasks that share an adapter and have one each, of unlike sizes."""
    lora: dict[str, Any] = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
    template = PromptCompletion("{text}:", " {label}")
    adapter = LoraConfig(target_modules=["q_proj", "v_proj"], **lora)
    suite = [
        Task(name, train=_rows(name, 5 + 6 * i), eval=_rows(name, 3), template=template, adapter=adapter)
        for i, name in enumerate(NAMES)
    ]
    base, identity = load_base(folder, dtype=dtype)
    settings = {
        "sharing": "shared+private", "max_steps": 6, "per_device_train_batch_size": 4, "learning_rate": 1e-3,
        "logging_steps": 1, "max_chunk_tokens": 30, "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
        "use_cpu": True, **changes,
    }  # fmt: skip
    trainer = MultiTaskTrainer(
        RoutedModel(base, identity=identity),
        MultiTaskTrainingArguments(str(out), **settings),
        suite,
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    for number, name in enumerate(trainer.model.adapter_names):
        shake(trainer.model, name, seed=number)
    return trainer


def _rounds(trainer: MultiTaskTrainer) -> Any:
    """The trainer, ready to run rounds by hand."""
    trainer.plan = trainer.round_plan()
    trainer.create_optimizer()
    trainer.model.train()
    return trainer._round_step


@pytest.mark.parametrize("accumulation", [1, 3])
def test_rows_equal_a_backward_pass_for_each_task(
    tiny_llama: Path, tmp_path: Path, accumulation: int
) -> None:
    trainer = trainer_of(
        tiny_llama, tmp_path, objective="pcgrad", gradient_accumulation_steps=accumulation, token_budget=60
    )
    step = _rounds(trainer)
    round_ = trainer.plan.next()
    assert round_ is not None
    assert len(round_.groups) > 1
    step.run(round_)
    rows = step.combining.gradients
    assert rows.names == NAMES
    shared = list(trainer.owners.parameters["shared/shared"].values())
    for i, name in enumerate(NAMES):
        total: Tensor = torch.zeros(())
        for batch in round_.micro_batches:
            losses = losses_of(trainer.model, batch, trainer.suite)
            if name in losses:
                total = total + losses[name].sum() / round_.label_counts[name]
        alone = torch.autograd.grad(total, shared)
        assert relative_error(rows.rows[i], torch.cat([each.reshape(-1) for each in alone])) < 1e-10
    assert rows.blocks == tuple(p.numel() for p in shared)


def test_rows_of_equal_weights_add_up_to_the_ordinary_gradient(tiny_llama: Path, tmp_path: Path) -> None:
    ends: list[dict[str, Tensor]] = []
    cases: list[dict[str, Any]] = [
        {},
        {"gradient_cosines": True},
        {"objective": {"name": "static", "weights": dict.fromkeys(NAMES, 2.0)}},
    ]
    for case in cases:
        trainer = trainer_of(tiny_llama, tmp_path / str(len(ends)), **case)
        assert isinstance(_rounds(trainer).combining, Combining) is bool(case)
        trainer.train()
        ends.append(
            {k: p.detach().clone() for own in trainer.owners.parameters.values() for k, p in own.items()}
        )
    for other in ends[1:]:
        assert all(relative_error(other[key], value) < 1e-10 for key, value in ends[0].items())


def test_private_parameters_keep_their_own_gradient(tiny_llama: Path, tmp_path: Path) -> None:
    weights = {"a": 5.0, "b": 1.0, "c": 0.1}
    trainer = trainer_of(tiny_llama, tmp_path, objective={"name": "static", "weights": weights})
    step, round_ = _rounds(trainer), trainer.plan.next()
    step.run(round_)
    weighted = {name: own.gradients()[0].clone() for name, own in trainer.task_optimizers.items()}
    plain = trainer_of(tiny_llama, tmp_path / "plain")
    _rounds(plain).run(plain.plan.next())
    for name in NAMES:
        assert relative_error(weighted[name], plain.task_optimizers[name].gradients()[0]) < 1e-10
    assert (
        relative_error(weighted["shared/shared"], plain.task_optimizers["shared/shared"].gradients()[0]) > 0.1
    )


def test_a_task_that_goes_bad_leaves_the_others_rows(tiny_llama: Path, tmp_path: Path) -> None:
    ends = {}
    for case in ("all", "without b", "b is bad"):
        trainer = trainer_of(tiny_llama, tmp_path / case, objective="pcgrad")
        step, round_ = _rounds(trainer), trainer.plan.next()
        assert round_ is not None
        if case == "b is bad":
            next(iter(trainer.owners.parameters["b"].values())).data.fill_(torch.nan)
        result = step.run(round_.without(["b"]) if case == "without b" else round_)
        ends[case] = trainer.task_optimizers["shared/shared"].gradients()[0].clone()
        assert result.norms["shared/shared"] == pytest.approx(float(ends[case].norm()))
        assert (trainer.task_optimizers["b"].gradients() == []) is (case != "all")
    assert relative_error(ends["b is bad"], ends["without b"]) < 1e-12
    assert relative_error(ends["all"], ends["without b"]) > 0.01


@pytest.mark.parametrize(
    ("options", "relation"), [({}, 1 / 2), ({"tau": 1.0}, 1.0), ({"relations": RELATIONS}, 0.3)]
)
def test_nobody_is_drawn_to_an_adapter_that_is_not_finite(
    tiny_llama: Path, tmp_path: Path, options: dict[str, Any], relation: float
) -> None:
    """The others are drawn to each other, by `strength / 4 sum_ij R_ij ||D_i - D_j||^2`."""
    found = {}
    for case, sharing in {"soft": {"name": "soft", "strength": 0.1, **options}, "private": "private"}.items():
        trainer = trainer_of(tiny_llama, tmp_path / case, sharing=sharing, max_grad_norm=0.0)
        step, round_ = _rounds(trainer), trainer.plan.next()
        assert round_ is not None
        next(iter(trainer.owners.parameters["b"].values())).data.fill_(torch.nan)
        step.run(round_)
        found[case] = {name: trainer.task_optimizers[name].gradients()[0].clone() for name in ("a", "c")}
    penalty = torch.zeros((), dtype=torch.float64)
    for updates in lora_layers(trainer.model, ["a", "c"]):
        penalty = (
            penalty + 0.1 / 2 * relation * (_change(updates["a"]) - _change(updates["c"])).square().sum()
        )
    for name in ("a", "c"):
        flat = trainer.task_optimizers[name].flats[0]
        expected = torch.autograd.grad(penalty, flat.parameters, retain_graph=True)
        added = found["soft"][name] - found["private"][name]
        assert relative_error(added, torch.cat([own.flatten() for own in expected])) < 1e-9


@pytest.mark.parametrize("objective", STATEFUL)
def test_a_resumed_run_ends_with_the_same_bits(tiny_llama: Path, tmp_path: Path, objective: str) -> None:
    torch.set_num_threads(1)
    settings: dict[str, Any] = {
        "objective": objective, "save_strategy": "steps", "save_steps": 3, "dtype": "float32", "gradient_cosines": True,
    }  # fmt: skip
    whole = trainer_of(tiny_llama, tmp_path / "run", **settings)
    whole.train()
    resumed = trainer_of(tiny_llama, tmp_path / "run", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    for owner, parameters in whole.owners.parameters.items():
        for key, parameter in parameters.items():
            assert torch.equal(resumed.owners.parameters[owner][key], parameter), (owner, key)
    assert resumed.shared_objective.state_dict() == whole.shared_objective.state_dict()
    assert resumed.cosines.relations() == whole.cosines.relations()


def test_another_objective_cannot_take_over_a_state(tiny_llama: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"save_strategy": "steps", "save_steps": 3}
    trainer_of(tiny_llama, tmp_path, objective="gradnorm", **settings).train()
    other = trainer_of(tiny_llama, tmp_path, objective="dwa", **settings)
    start = {key: p.detach().clone() for key, p in other.owners.parameters["shared/shared"].items()}
    with pytest.raises(CheckpointError, match=r"made with the objective 'gradnorm', this run has 'dwa'"):
        other.train(resume_from_checkpoint=True)
    assert all(torch.equal(p, start[key]) for key, p in other.owners.parameters["shared/shared"].items())


@pytest.mark.parametrize(
    ("objective", "saves", "warned"),
    [("torchjd:dwa", "steps", True), ("torchjd:dwa", "no", False), ("pcgrad", "steps", False)],
)
def test_checkpoints_that_cannot_be_resumed_are_reported_at_the_start(
    tiny_llama: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    objective: str,
    saves: str,
    warned: bool,
) -> None:
    trainer = trainer_of(tiny_llama, tmp_path, objective=objective, save_strategy=saves)
    caplog.clear()
    trainer.begin_records()
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("hf_mtl")]
    assert [f"'{objective}' cannot be resumed" in message for message in messages] == [True] * warned


def test_the_log_tells_the_weights(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tiny_llama, tmp_path, objective="gradnorm")
    trainer.train()
    entries = [entry for entry in trainer.state.log_history if "a/loss_weight" in entry]
    assert len(entries) == 6
    assert all(sum(entry[f"{n}/loss_weight"] for n in NAMES) == pytest.approx(3.0) for entry in entries)


def test_nothing_to_act_on_is_told(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "hf_mtl"):
        _rounds(trainer_of(tiny_llama, tmp_path, sharing="private", objective="pcgrad"))
    assert "'pcgrad' acts on parameters that several tasks share, and this suite has none" in caplog.text


@pytest.mark.parametrize("sharing", ["private", "shared+private"])
@pytest.mark.parametrize("cosines", [True, False])
def test_cosines_without_shared_parameters_are_reported(
    tiny_llama: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, sharing: str, cosines: bool
) -> None:
    with caplog.at_level(logging.WARNING, logger="hf_mtl.training"):
        _rounds(trainer_of(tiny_llama, tmp_path, sharing=sharing, gradient_cosines=cosines))
    reported = [
        record for record in caplog.records if "gradient_cosines=True measures nothing" in record.message
    ]
    assert len(reported) == (cosines and sharing == "private")


def test_weights_of_unknown_tasks_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'d'"):
        trainer_of(tiny_llama, tmp_path, objective={"name": "static", "weights": {"a": 1.0, "d": 2.0}})


@torch.no_grad()
def _apart(trainer: MultiTaskTrainer) -> float:
    total = 0.0
    for path in trainer.model.updates("a"):
        updates = [trainer.model.updates(name)[path] for name in NAMES]
        changes = torch.stack([u.scale * u.lora_B @ u.lora_A for u in updates if isinstance(u, LoraUpdate)])
        total += (changes - changes.mean(0)).norm().item()
    return total


def test_soft_sharing_draws_adapters_together(tiny_llama: Path, tmp_path: Path) -> None:
    apart = {}
    for strength in (1e-6, 100.0):
        sharing = {"name": "soft", "strength": strength}
        trainer = trainer_of(
            tiny_llama, tmp_path / str(strength), sharing=sharing, max_steps=30, learning_rate=1e-2
        )
        trainer.train()
        apart[strength] = _apart(trainer)
    assert apart[100.0] < 0.5 * apart[1e-6]


def test_soft_sharing_learns_relations_of_the_adapters_as_they_are(tiny_llama: Path, tmp_path: Path) -> None:
    sharing = {"name": "soft", "strength": 1.0, "tau": 0.05}
    trainer = trainer_of(tiny_llama, tmp_path, sharing=sharing)
    trainer.train()
    found = trainer.relations
    assert found is not None and found.source == "learned" and found.names == NAMES
    flat = torch.stack(
        [torch.cat([_change(u).flatten() for u in trainer.model.updates(name).values()]) for name in NAMES]
    ).detach()
    squares = (flat[:, None] - flat).square().sum(2)
    logits = -squares / (0.05 * squares.sum() / 6)
    weights = logits.fill_diagonal_(-torch.inf).softmax(1)
    torch.testing.assert_close(torch.tensor(found.values), weights, rtol=1e-9, atol=1e-12)
    assert found.values.max() > 0.6  # they are not even

    # The penalty's gradient is that of the formula at these relations, held fixed.
    step = _rounds(trainer)
    layer = next(iter(trainer.model.updates("a")))
    updates = [trainer.model.updates(name)[layer] for name in NAMES]
    changes = [_change(u) for u in updates]
    both = (weights + weights.t()) / 2
    pairs = [both[i, j] * (changes[i] - changes[j]).square().sum() for i in range(3) for j in range(3)]
    penalty = torch.stack(pairs).sum() / 4
    (expected,) = torch.autograd.grad(penalty, [updates[0].get_parameter("lora_A")])
    for update in (u for name in NAMES for u in trainer.model.updates(name).values()):
        for parameter in (update.get_parameter("lora_A"), update.get_parameter("lora_B")):
            parameter.grad = torch.zeros_like(parameter)
    step.soft.add(NAMES)
    torch.testing.assert_close(updates[0].get_parameter("lora_A").grad, expected, rtol=1e-9, atol=1e-12)


def test_relations_of_an_objective_may_be_a_file(tiny_llama: Path, tmp_path: Path) -> None:
    table = {"a": {"b": 0.5, "c": 0.0}, "b": {"c": 0.25}}
    Relations.given(table, NAMES).save(tmp_path / "near.json")
    given = {"name": "relation_product", "relations": Relations.given(table, NAMES).table()}
    file = {"name": "relation_product", "relations": str(tmp_path / "near.json")}
    gradients = SharedGradients(NAMES, torch.tensor([1.0, 2.0, 3.0]).double(), torch.eye(3), (3,), 0)
    expected = objective_of(given).update(gradients).weights
    trainer = trainer_of(tiny_llama, tmp_path / "run", objective=file)
    assert trainer.shared_objective.update(gradients).weights == expected
    with pytest.raises(ConfigError, match=r"nothing\.json should hold relations of tasks as JSON"):
        trainer_of(
            tiny_llama, tmp_path / "run", objective=file | {"relations": str(tmp_path / "nothing.json")}
        )
