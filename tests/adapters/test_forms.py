"""Whichever form is chosen, the products agree to rounding, and a span's form is its own affair."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from hf_mtl.adapters import Term, forms, segment_delta, segment_linear
from hf_mtl.adapters.grouped import grouped_delta

D_IN, D_OUT, TOKENS = 48, 32, 40


def _random(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _terms(*, scale: float = 0.5) -> list[Term]:
    return [
        Term(
            start,
            stop,
            scale,
            (_random(8, D_IN, seed=i) / D_IN**0.5).requires_grad_(),
            _random(D_OUT, 8, seed=9 + i).requires_grad_(),
        )
        for i, (start, stop) in enumerate(((0, 7), (7, 7), (7, 30)))
    ]


@pytest.mark.parametrize("in_fp32", [True, False])
@pytest.mark.parametrize("delta", [True, False])
def test_bf16_activations_and_fp32_adapters(
    in_fp32: bool, delta: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against fp32 throughout: bf16 rounds each factor by 2^-9, so 1 % of the norm is several roundings."""
    monkeypatch.setattr(forms, "_CPU_FP32_ELEMENTS", 10**9 if in_fp32 else 0)
    weight = _random(D_OUT, D_IN, dtype=torch.bfloat16, seed=5) / 7
    x = _random(TOKENS, D_IN, dtype=torch.bfloat16, seed=6).requires_grad_()
    direction = _random(TOKENS, D_OUT, seed=7).to(torch.bfloat16)
    terms = _terms()
    leaves = [x, *(t.a_RI for t in terms), *(t.b_OR for t in terms)]
    y = segment_delta(linear(x, weight), x, terms) if delta else segment_linear(x, weight, None, terms)
    gradients = torch.autograd.grad(y, leaves, direction)
    assert [g.dtype for g in gradients] == [leaf.dtype for leaf in leaves]

    wide = x.detach().float().requires_grad_()
    expected = linear(wide, weight.float())
    for start, stop, scale, a, b, *_ in terms:
        update = torch.zeros_like(expected)
        update[start:stop] = scale * (wide[start:stop] @ a.t()) @ b.t()
        expected = expected + update
    wanted = torch.autograd.grad(expected, [wide, *leaves[1:]], direction.float())
    for actual, reference in zip((y, *gradients), (expected, *wanted), strict=True):
        assert (actual.float() - reference).norm() <= 0.01 * reference.norm()


def test_a_spans_form_follows_from_its_own_size() -> None:
    half, full = torch.bfloat16, torch.float32
    assert forms.multiplies_in_fp32(half, "cpu", 64, 1152)
    assert not forms.multiplies_in_fp32(half, "cpu", 1024, 1152)
    assert not forms.multiplies_in_fp32(full, "cpu", 64, 1152)
    assert not forms.multiplies_in_fp32(half, "cuda", 64, 1152)
    assert forms.attends_in_fp32(half, "cpu", 64) and not forms.attends_in_fp32(half, "cpu", 2048)


def test_under_autocast_the_updates_keep_their_dtypes() -> None:
    x = _random(TOKENS, D_IN, dtype=torch.bfloat16, seed=6)
    terms = _terms()
    plain = segment_delta(torch.zeros(TOKENS, D_OUT, dtype=torch.bfloat16), x, terms)
    with torch.autocast("cpu", torch.bfloat16):
        cast = segment_delta(torch.zeros(TOKENS, D_OUT, dtype=torch.bfloat16), x, terms)
    torch.testing.assert_close(cast, plain, rtol=0, atol=0)


def test_a_frozen_matrix_gets_no_gradient_and_costs_none() -> None:
    terms = _terms()
    terms[0].a_RI.requires_grad_(False)
    x = _random(TOKENS, D_IN, seed=6)
    y = segment_linear(x, _random(D_OUT, D_IN, seed=5), None, terms)
    backward: Any = y.grad_fn
    gradients = backward.apply(torch.ones_like(y))  # what the function itself computes
    assert gradients[0] is None  # x needs none
    computed = [gradient is not None for gradient in gradients[4:]]
    assert computed == [
        False,
        True,
        True,
        True,
        True,
        True,
        False,
        False,
        False,
    ]  # no term has a learned factor


def test_one_tasks_nan_stays_its_own() -> None:
    terms = _terms()
    x = _random(TOKENS, D_IN, seed=6).requires_grad_()
    broken = x.detach().clone()
    broken[3] = torch.nan
    weight = _random(D_OUT, D_IN, seed=5)
    outputs = []
    for stream in (x, broken.requires_grad_()):
        y = segment_linear(stream, weight, None, terms)
        outputs.append((y[7:], *torch.autograd.grad(y.sum(), [terms[2].a_RI, terms[2].b_OR])))
    for sound, beside in zip(*outputs, strict=True):
        torch.testing.assert_close(beside, sound, rtol=0, atol=0)


def test_grouped_products_equal_the_segments_by_themselves() -> None:
    """On the CPU's fallback of the operator; ranks and lengths uneven, one range empty, two overlapping, dropout."""
    kept = (_random(12, D_IN, seed=3) > 0) * 2.0
    terms = [
        *_terms(),
        Term(
            20,
            32,
            2.0,
            _random(3, D_IN, seed=20).requires_grad_(),
            _random(D_OUT, 3, seed=21).requires_grad_(),
            kept,
            torch.tensor(0.7, requires_grad=True),
        ),
    ]
    x = _random(TOKENS, D_IN, seed=6).requires_grad_()
    leaves = [x, *(t.a_RI for t in terms if t.stop > t.start), *(t.b_OR for t in terms if t.stop > t.start)]
    direction, weight = _random(TOKENS, D_OUT, seed=7), _random(D_OUT, D_IN, seed=5)
    results = []
    for function in (segment_delta, grouped_delta):
        y = function(linear(x, weight), x, terms)
        results.append((y, *torch.autograd.grad(y, leaves, direction)))
    for segments, grouped in zip(*results, strict=True):
        torch.testing.assert_close(grouped, segments, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "capability", [None, (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0)]
)
def test_kernels_by_dtype_and_capability(dtype: torch.dtype, capability: forms.Capability) -> None:
    """`None` is a device that is no GPU: there is neither kernel."""
    grouped = dtype == torch.bfloat16 and capability in ((9, 0), (10, 0))
    assert forms.groups_on(dtype, capability) is grouped
    assert forms.uses_grouped_mm(dtype, capability, 64, 128) is grouped
    assert not forms.uses_grouped_mm(dtype, capability, 64, 97)  # rows of whole 16 bytes
    assert not forms.uses_grouped_mm(dtype, capability, 97, 64)
    flash = dtype in (torch.bfloat16, torch.float16) and capability not in (None, (7, 0), (7, 5))
    assert forms.attends_by_varlen(dtype, capability) is flash


def test_a_cpu_has_no_compute_capability() -> None:
    assert forms.capability_of(torch.device("cpu")) is None
