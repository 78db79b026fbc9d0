"""What a structure computes is its formula, and its tasks' folders are ordinary PEFT adapters that compute it too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from plain_peft import relative_error, shake
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_mtl import MultiTaskTrainer, MultiTaskTrainingArguments, PromptCompletion, RoutedModel, Task
from hf_mtl.adapters import LoraUpdate
from hf_mtl.data import Chunk, Sequence
from hf_mtl.export import load_suite
from hf_mtl.models import load_base

NAMES = ("news", "names", "mood")
STRUCTURES: dict[str, Any] = {
    "private": "private",
    "shared": "shared",
    "shared+private": "shared+private",
    "other targets": {"name": "shared+private", "adapter": {"r": 3, "target_modules": ["v_proj", "down_proj"]}},
    "groups": {"name": "groups", "groups": {"texts": ["news", "mood"], "few": ["mood"]}, "everyone": True},
    "matched": {"name": "shared+private", "match_parameters": True},
    "soft": "soft",
}  # fmt: skip


def _rows(name: str) -> Dataset:
    return Dataset.from_list([{"text": f"{name} word {i}", "label": f"x{i % 2}"} for i in range(6)])


def trained(
    folder: Path, out: Path, sharing: Any, *, dtype: str = "float64", **changes: Any
) -> MultiTaskTrainer:
    """A trainer of three tasks in a structure, its adapters moved away from where they do nothing."""
    template = PromptCompletion("{text}:", " {label}")
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "gate_proj"])
    suite = [Task(n, train=_rows(n), eval=_rows(n), template=template, adapter=lora) for n in NAMES]
    base, identity = load_base(folder, dtype=dtype)
    settings = {"max_steps": 2, "per_device_train_batch_size": 3, "report_to": "none", "disable_tqdm": True,
                "save_strategy": "no", "use_cpu": True, "logging_steps": 1, **changes}  # fmt: skip
    trainer = MultiTaskTrainer(
        RoutedModel(base, identity=identity),
        MultiTaskTrainingArguments(str(out), sharing=sharing, **settings),
        suite,
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    for number, adapter in enumerate(trainer.model.adapter_names):
        shake(trainer.model, adapter, seed=number)
    with torch.no_grad():
        for number, name in enumerate(NAMES):
            for parameter in trainer.model.route_parameters(name).values():
                parameter.fill_(0.5 + number)
    return trainer


def _ids(folder: Path) -> list[list[int]]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return [tokenizer(text).input_ids for text in ("the walk was fine", "ran", "a great swim and more words")]


def _routed(model: RoutedModel, ids: list[list[int]]) -> list[Tensor]:
    """Each task's logits of a sequence of its own, out of one mixed batch."""
    sequences = [
        Sequence(name, own, list(range(len(own))), own, row=0)
        for name, own in zip(sorted(NAMES), ids, strict=True)
    ]
    batch = model.layout.lay_out([Chunk(sequence.route, [sequence]) for sequence in sequences])
    with torch.no_grad():
        logits = model.eval().by_route(batch)
    return [logits[name] for name in sorted(NAMES)]


def _naive(folder: Path, model: RoutedModel, name: str, ids: list[int], *, dtype: torch.dtype) -> Tensor:
    """The formula: a plain base whose weights are W + sum_i w_i s_i B_i A_i."""
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    scales = {key.removesuffix(".scale"): own.item() for key, own in model.route_parameters(name).items()}
    with torch.no_grad():
        for adapter, weight in model.routes[name].items():
            for path, update in model.updates(adapter).items():
                assert isinstance(update, LoraUpdate)
                layer = plain.get_submodule(path)
                layer.weight += (
                    scales.get(adapter, 1.0) * weight * update.scale * update.lora_B @ update.lora_A
                )
        logits: Tensor = plain(torch.tensor([ids]), use_cache=False).logits[0]
    return logits


@pytest.mark.parametrize("case", STRUCTURES)
def test_the_pass_is_the_formula(tiny_llama: Path, tmp_path: Path, case: str) -> None:
    trainer = trained(tiny_llama, tmp_path, STRUCTURES[case])
    ids = _ids(tiny_llama)
    for name, own, logits in zip(sorted(NAMES), ids, _routed(trainer.model, ids), strict=True):
        expected = _naive(tiny_llama, trainer.model, name, own, dtype=torch.float64)
        assert relative_error(logits, expected) < 1e-12


@pytest.mark.parametrize("case", STRUCTURES)
def test_a_saved_task_is_one_plain_lora(tiny_llama: Path, tmp_path: Path, case: str) -> None:
    trainer = trained(tiny_llama, tmp_path / "run", STRUCTURES[case], dtype="float32")
    trainer.save_model(str(tmp_path / "saved"))
    ids = _ids(tiny_llama)
    logits = dict(zip(sorted(NAMES), zip(ids, _routed(trainer.model, ids), strict=True), strict=True))
    again = load_suite(tmp_path / "saved", base=tiny_llama)
    assert again.adapter_names == NAMES
    for name, own in zip(sorted(NAMES), _routed(again, ids), strict=True):
        assert relative_error(own, logits[name][1]) < 1e-5
    for name in NAMES:
        base = AutoModelForCausalLM.from_pretrained(tiny_llama)
        plain = PeftModel.from_pretrained(base, tmp_path / "saved" / name).eval()
        with torch.no_grad():
            own = plain(torch.tensor([logits[name][0]]), use_cache=False).logits[0]
        assert relative_error(own, logits[name][1]) < 1e-5


def test_a_scale_is_learned(tiny_llama: Path, tmp_path: Path) -> None:
    trainer = trained(tiny_llama, tmp_path, "shared+private")
    before = {name: trainer.model.route_parameters(name)["shared.scale"].item() for name in NAMES}
    trainer.train()
    after = {name: trainer.model.route_parameters(name)["shared.scale"].item() for name in NAMES}
    assert all(after[name] != before[name] for name in NAMES)
    assert trainer.owners.parameters["news"]["news:shared.scale"].shape == ()


def test_a_scale_is_not_decayed(tiny_llama: Path, tmp_path: Path) -> None:
    """AdamW's first step is the learning rate, whatever the gradient; with decay it would be up to 0.325 more."""
    changes: dict[str, Any] = {
        "max_steps": 1,
        "learning_rate": 0.1,
        "weight_decay": 1.3,
        "lr_scheduler_type": "constant",
    }
    trainer = trained(tiny_llama, tmp_path, "shared+private", **changes)
    before = {name: trainer.model.route_parameters(name)["shared.scale"].item() for name in NAMES}
    trainer.train()
    for name in NAMES:
        moved = trainer.model.route_parameters(name)["shared.scale"].item() - before[name]
        assert abs(moved) == pytest.approx(0.1, rel=1e-4)
        groups = trainer.task_optimizers[name].optimizer.param_groups
        assert [group["weight_decay"] for group in groups] == [1.3, 0.0]


def test_a_fixed_scale_of_one_and_an_idle_shared_adapter_are_private(
    tiny_llama: Path, tmp_path: Path
) -> None:
    """With a shared adapter that does nothing and cannot move, a structure is `private` to the bits."""
    ends: dict[str, dict[str, dict[str, Tensor]]] = {}
    start: dict[str, Tensor] = {}
    for case in ("private", {"name": "shared+private", "learned_scales": False}):
        trainer = trained(tiny_llama, tmp_path / str(len(ends)), case, max_steps=4)
        for name in NAMES:
            for key, parameter in trainer.owners.parameters[name].items():
                parameter.data.copy_(start.setdefault(f"{name} {key}", parameter.detach().clone()))
        for parameter in trainer.owners.parameters.get("shared/shared", {}).values():
            parameter.data.zero_()  # with A and B both 0 no gradient reaches either
        trainer.train()
        ends[str(case)] = {
            n: {k: p.detach().clone() for k, p in trainer.owners.parameters[n].items()} for n in NAMES
        }
    private, shared = ends.values()
    for name in NAMES:
        for key, value in private[name].items():
            assert relative_error(shared[name][key], value) < 1e-12
