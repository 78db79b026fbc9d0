"""Tasks of different kinds that share adapters: private heads, and folders that the stock classes load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from kind_cases import KINDS, ours, task_of
from peft import LoraConfig
from plain_peft import from_folder, relative_error, shake
from stock_side import stock_base, stock_results
from torch.nn import Parameter

from hf_mtl.export import load_suite, save_suite
from hf_mtl.models import RoutedModel

SUITES = {
    "bert": ("single-label", "tags", "spans", "regression"),
    "llama": ("single-label", "tags", "causal-lm"),
    "t5": ("single-label", "seq2seq-lm"),
    "vit": ("images",),
}
CASES = [
    pytest.param(base, sharing, marks=() if base == "bert" or sharing == "shared" else pytest.mark.slow)
    for base in SUITES
    for sharing in ("shared", "shared+private")
]


def _heads(model: RoutedModel, name: str) -> dict[str, Parameter]:
    """The parameters of a task's own."""
    return model.adapter_parameters(name) if model.has(name) else {}


@pytest.mark.parametrize(("base", "sharing"), CASES)
def test_each_folder_is_its_stock_class_with_plain_peft(
    bases: Callable[[str], Path], tmp_path: Path, base: str, sharing: str
) -> None:
    adapter = LoraConfig(r=4, target_modules="all-linear")
    tasks = [task_of(kind, replace(KINDS[kind], bases=()), adapter=adapter) for kind in SUITES[base]]
    tasks += [task_of("again", replace(KINDS[SUITES[base][0]], bases=()), adapter=adapter)]
    own = ours(bases(base), *tasks, dtype="float32", move=shake, sharing=sharing)
    names = [task.name for task in tasks]
    with torch.no_grad():
        for number, name in enumerate(names):
            for scale in own.model.route_parameters(name).values():
                scale.fill_(0.5 + number)
    logits, _ = own.run(*names)
    save_suite(own.model, tmp_path, names=names, processor=own.processor)
    again = load_suite(tmp_path, base=bases(base), dtype="float32")
    loaded, _ = replace(own, model=again.eval()).run(*names)
    for task in tasks:
        assert relative_error(loaded[task.name], logits[task.name]) < 1e-5
        case = KINDS[SUITES[base][0] if task.name == "again" else task.name]
        stock = stock_base(case, own.model.auto_class(task.name), bases(base), torch.float32)
        plain, _ = from_folder(stock, tmp_path / task.name)
        expected, _ = stock_results(plain.eval(), case, task, own.processor, own.sequences(task.name))
        assert relative_error(logits[task.name], expected) < 1e-5, task.name


def test_heads_stay_private(bases: Callable[[str], Path]) -> None:
    case = KINDS["single-label"]
    own = ours(bases("bert"), task_of("a", case), task_of("b", case), move=shake, sharing="shared")
    _, losses = own.run("a", "b")
    mine = torch.autograd.grad(
        losses["a"], list(_heads(own.model, "b").values()), allow_unused=True, retain_graph=True
    )
    assert all(gradient is None for gradient in mine)
    shared = list(own.model.adapter_parameters("shared").values())
    for name in ("a", "b"):
        found = torch.autograd.grad(losses[name], shared, retain_graph=True)
        assert min(float(each.abs().max()) for each in found) > 0
