"""Logits, loss and gradients of every kind on every base are those of the stock class with plain PEFT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from kind_cases import KINDS, KindCase, ours, stock_base, stock_results, task_of, torch_loss
from peft import PeftConfig
from plain_peft import from_folder, shake
from torch import Tensor

from hf_mtl.export import save_suite

BOTH = [(kind, base) for kind, case in KINDS.items() for base in case.bases]
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


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


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("kind", "base"), BOTH)
def test_a_kind_is_the_stock_class_with_plain_peft(
    bases: Callable[[str], Path], tmp_path: Path, kind: str, base: str, dtype: str
) -> None:
    _compare(KINDS[kind], bases(base), tmp_path, dtype)
