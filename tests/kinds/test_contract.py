"""Logits, loss and gradients of every kind on every base are those of the stock class with plain PEFT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from kind_cases import KINDS, KindCase, ours, task_of
from peft import IA3Config, LoraConfig, PeftConfig, PrefixTuningConfig, PromptTuningConfig
from plain_peft import from_folder, shake
from stock_side import stock_base, stock_results, torch_loss
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from hf_mtl.data import Chunk
from hf_mtl.export import save_suite

BOTH = [(kind, base) for kind, case in KINDS.items() for base in case.bases]
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


def _quick(kind: str, base: str) -> bool:
    """Each kind on one base of each sort, and the simplest on all of them."""
    return kind == "single-label" or base in ("llama", "bert", "t5", "vit")


def _far(actual: Tensor, expected: Tensor) -> float:
    """The largest difference over the largest value."""
    actual, expected = actual.detach().double(), expected.detach().double()
    assert actual.shape == expected.shape
    return float((actual - expected).abs().max() / expected.abs().max())


def _compare(
    case: KindCase, folder: Path, out: Path, dtype: str, adapter: PeftConfig | None = None
) -> Mapping[str, Tensor]:
    """Check one kind on one base; returns the gradients."""
    task = task_of("t", case, adapter=adapter)
    own = ours(folder, task, dtype=dtype, move=shake)
    save_suite(own.model, out, processor=own.processor)
    base = stock_base(case, own.model.auto_class("t"), folder, getattr(torch, dtype))
    plain, parameters = from_folder(base, out / "t")
    plain.eval()
    expected, stock_loss = stock_results(plain, case, task, own.processor, own.sequences("t"))
    logits, losses = own.run("t")
    most = TOLERANCE[dtype]
    assert _far(logits["t"], expected) < most
    assert _far(losses["t"], stock_loss) < max(most, 0 if stock_loss.dtype == torch.float64 else 1e-6)
    if stock_loss.dtype != expected.dtype:  # some stock losses are computed in fp32 whatever the model is
        stock_loss = torch_loss(expected, own.sequences("t"))
        assert _far(losses["t"], stock_loss) < most
    found = own.gradients("t")
    assert found.keys() == parameters.keys()
    wanted = torch.autograd.grad(stock_loss, list(parameters.values()))
    largest = max(float(each.abs().max()) for each in wanted)
    for key, gradient in zip(parameters, wanted, strict=True):
        assert float((found[key] - gradient).abs().max()) / largest < most, key
        assert float(gradient.abs().max()) > 0, key
    return found


@pytest.mark.parametrize(
    ("kind", "base"), [pytest.param(*own, marks=() if _quick(*own) else pytest.mark.slow) for own in BOTH]
)
def test_a_kind_is_the_stock_class_with_plain_peft(
    bases: Callable[[str], Path], tmp_path: Path, kind: str, base: str
) -> None:
    _compare(KINDS[kind], bases(base), tmp_path, "float64")


FEW = {
    ("single-label", "modernbert"),
    ("tags", "bert"),
    ("spans", "llama"),
    ("seq2seq-lm", "t5"),
    ("images", "vit"),
}


@pytest.mark.parametrize(
    ("kind", "base"), [pytest.param(*own, marks=() if own in FEW else pytest.mark.slow) for own in BOTH]
)
def test_so_it_is_in_single_precision(
    bases: Callable[[str], Path], tmp_path: Path, kind: str, base: str
) -> None:
    _compare(KINDS[kind], bases(base), tmp_path, "float32")


def _ia3(*layers: str) -> IA3Config:
    return IA3Config(target_modules=list(layers), feedforward_modules=[layers[-1]])


ADAPTERS: dict[str, Callable[[str], PeftConfig]] = {
    "dora": lambda base: LoraConfig(r=2, target_modules="all-linear", use_dora=True),
    "ia3": lambda base: _ia3("q_proj", "down_proj") if base == "llama" else _ia3("query", "output.dense"),
    "prefix": lambda base: PrefixTuningConfig(num_virtual_tokens=4),
    "own copy": lambda base: LoraConfig(
        r=2, target_modules=["q_proj", "query"], modules_to_save=["down_proj" if base == "llama" else "value"]
    ),
}


@pytest.mark.parametrize("kind", ["pair", "tags"])
@pytest.mark.parametrize("base", ["llama", "bert"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_head_stands_on_every_kind_of_adapter(
    bases: Callable[[str], Path], tmp_path: Path, adapter: str, base: str, kind: str
) -> None:
    _compare(KINDS[kind], bases(base), tmp_path, "float64", ADAPTERS[adapter](base))


PROMPTED = [
    (kind, base)
    for kind in ("single-label", "tags", "spans")
    for base in ("llama", "bert", "roberta", "modernbert", "modernbert-mean")
]


@pytest.mark.parametrize(("kind", "base"), PROMPTED)
def test_a_head_stands_on_prompts(bases: Callable[[str], Path], tmp_path: Path, kind: str, base: str) -> None:
    """Row by row and without labels: PEFT gives outputs at the virtual tokens too, and its losses stumble over them.

    In stock classes, the first state of a text is then that of the first virtual token.
    """
    case = KINDS[kind]
    task = task_of("t", case, adapter=PromptTuningConfig(num_virtual_tokens=3))
    own = ours(bases(base), task, move=shake)
    save_suite(own.model, tmp_path, processor=own.processor)
    plain, _ = from_folder(stock_base(case, own.model.auto_class("t"), bases(base)), tmp_path / "t")
    plain.eval()
    sequences = [replace(each, token_types=[]) for each in own.sequences("t")]  # which PEFT drops here
    expected = []
    for each in sequences:
        output = plain(input_ids=torch.tensor([each.input_ids]))
        if kind == "spans":
            expected.append(torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1)[3:])
        else:
            expected.append(output.logits if kind != "tags" else output.logits[0, 3:][each.label_positions])
    batch = own.model.layout.lay_out([Chunk("t", sequences)])
    assert _far(own.model.by_route(batch)["t"], torch.cat(expected)) < 1e-10


WEIGHTED: dict[str, dict[str, Any]] = {
    "single-label": {"class_weights": [0.5, 2.0, 1.25], "label_smoothing": 0.1},
    "tags": {"class_weights": {"c": 0.5, "a": 2.0, "b": 3.0}, "label_smoothing": 0.2},
    "images": {"class_weights": [0.5, 2.0, 1.25], "label_smoothing": 0.1},
    "causal-lm": {"label_smoothing": 0.1},
    "seq2seq-lm": {"label_smoothing": 0.1},
}


@pytest.mark.parametrize("kind", WEIGHTED)
def test_weights_of_classes_and_smoothing_are_those_of_torch(bases: Callable[[str], Path], kind: str) -> None:
    options = WEIGHTED[kind]
    task = task_of("t", KINDS[kind], kind=options)
    own = ours(bases(KINDS[kind].bases[0]), task, move=shake)
    logits, losses = own.run("t")
    weights = options.get("class_weights")
    if isinstance(weights, Mapping):
        weights = [weights[label] for label in task.declared.labels or ()]
    weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    smoothing = options["label_smoothing"]
    expected = torch_loss(logits["t"], own.sequences("t"), weight=weight, label_smoothing=smoothing)
    assert _far(losses["t"], expected) < 1e-10
    assert _far(torch_loss(logits["t"], own.sequences("t")), expected) > 1e-4


def test_labels_that_are_not_known_give_no_loss(bases: Callable[[str], Path]) -> None:
    case = KINDS["multi-label"]
    rows = [{"text": "good", "label": [1.0, None, 0.0]}, {"text": "a bad play", "label": [None, None, 1.0]}]
    own = ours(bases("bert"), task_of("t", replace(case, rows=rows)), move=shake)
    logits, losses = own.run("t")
    first, last = logits["t"]
    targets = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    expected = binary_cross_entropy_with_logits(torch.stack([first[0], first[2], last[2]]), targets)
    assert _far(losses["t"], expected) < 1e-10
