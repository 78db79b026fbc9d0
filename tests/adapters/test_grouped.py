"""The grouped products on the CPU, which has `grouped_mm` in fp32, bf16 and fp16: against the segments in fp64.

There is none in fp64, so it has no numerical gradients; those of `segment_delta` are tested in test_segment_linear.py.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hf_mtl.adapters import Term, segment_delta
from hf_mtl.adapters.grouped import grouped_delta

D_IN, D_OUT, TOKENS = 48, 32, 40
# The inputs are exact. In half precision the two products and the sum are rounded, each by at most half of
# 2^-8 or 2^-11; over many values that comes to less than one whole step.
TOLERANCES = [(torch.float32, 1e-6), (torch.bfloat16, 2**-8), (torch.float16, 2**-11)]


def _random(*shape: int, seed: int) -> Tensor:
    """Values that every dtype holds exactly."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16().half().double()


def _terms(dtype: torch.dtype) -> list[Term]:
    """Uneven ranks and lengths, one empty range, two that overlap, one with dropout; adapters in fp32 or wider."""
    kept = (_random(12, D_IN, seed=3) > 0) * 1.0
    wide = torch.promote_types(dtype, torch.float32)
    return [
        Term(start, stop, scale, a.to(wide).requires_grad_(), b.to(wide).requires_grad_(), mask)
        for start, stop, scale, a, b, mask in (
            (0, 7, 0.5, _random(8, D_IN, seed=10), _random(D_OUT, 8, seed=20), None),
            (7, 7, 1.0, _random(2, D_IN, seed=11), _random(D_OUT, 2, seed=21), None),
            (7, 30, -0.25, _random(3, D_IN, seed=12), _random(D_OUT, 3, seed=22), None),
            (20, 32, 2.0, _random(16, D_IN, seed=13), _random(D_OUT, 16, seed=23), kept.to(dtype)),
        )
    ]


def _results(function: object, dtype: torch.dtype) -> list[Tensor]:
    """The output, and the gradients of the base's output, the input and all matrices that have tokens."""
    assert callable(function)
    terms = _terms(dtype)
    x, y = (_random(TOKENS, d, seed=d).to(dtype).requires_grad_() for d in (D_IN, D_OUT))
    busy = [term for term in terms if term.stop > term.start]
    leaves = [y, x, *(t.a_RI for t in busy), *(t.b_OR for t in busy)]
    output = function(y.clone(), x, terms)
    return [output, *torch.autograd.grad(output, leaves, _random(TOKENS, D_OUT, seed=5).to(dtype))]


@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES)
def test_output_and_gradients_equal_the_segments_in_double(dtype: torch.dtype, tolerance: float) -> None:
    expected = _results(segment_delta, torch.float64)
    actual = _results(grouped_delta, dtype)
    assert len(actual) == len(expected) == 9
    for ours, truth in zip(actual, expected, strict=True):
        assert truth.any() and (ours.double() - truth).norm() <= tolerance * truth.norm()
    assert {gradient.dtype for gradient in actual[3:]} == {torch.float32}


def test_dropout_in_every_term() -> None:
    terms = [term for term in _terms(torch.float32) if term.mask_LI is not None]
    x, y = _random(TOKENS, D_IN, seed=D_IN).float(), torch.zeros(TOKENS, D_OUT)
    expected, actual = segment_delta(y.clone(), x, terms), grouped_delta(y.clone(), x, terms)
    assert expected.any() and (actual - expected).norm() <= 1e-6 * expected.norm()


def test_an_expanded_gradient_is_taken() -> None:
    """`sum()` hands back a gradient without strides, which the operator itself refuses."""
    y, x, terms = torch.zeros(TOKENS, D_OUT), torch.ones(TOKENS, D_IN), _terms(torch.float32)
    grouped_delta(y, x, terms).sum().backward()
    gradients = [term.b_OR.grad for term in terms]
    assert gradients[1] is None and all(g is not None and g.any() for g in (gradients[0], *gradients[2:]))


def test_there_is_no_grouped_product_in_double() -> None:
    with pytest.raises((RuntimeError, ValueError), match="Float32, BFloat16 or Float16"):
        _results(grouped_delta, torch.float64)


def test_scales_are_not_rounded_to_half_precision() -> None:
    """1 / (1 - 0.1) and a learned scale of 1.003 would be 1.109375 and 1.0 in bf16, for every token."""
    x = _random(TOKENS, D_IN, seed=1).bfloat16()
    a, b = _random(8, D_IN, seed=10).float(), _random(D_OUT, 8, seed=20).float()
    term = Term(0, TOKENS, 1 / 0.9, a, b, factor=torch.tensor(1.003))
    y = torch.zeros(TOKENS, D_OUT, dtype=torch.bfloat16)
    exact = x.double() @ a.double().t() @ b.double().t() * (1.003 / 0.9)
    for delta in (grouped_delta, segment_delta):
        output = delta(y.clone(), x, [term]).double()
        assert abs(float((output * exact).sum() / exact.square().sum()) - 1) < 3e-4
