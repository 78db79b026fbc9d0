"""The autograd functions against the formula written out, and against numerical gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from hf_mtl.adapters import Term, segment_delta, segment_linear

D_IN, D_OUT, TOKENS = 5, 4, 9


def _terms(generator: torch.Generator, *, dropout: bool) -> list[Term]:
    """Uneven segments, one of them empty, one token without any, and two that overlap; two have a learned factor."""

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()

    terms = []
    for start, stop, rank, scale in ((0, 3, 2, 0.5), (3, 3, 1, 1.0), (3, 8, 3, 2.0), (1, 5, 2, -0.7)):
        mask = None
        if dropout:
            kept = torch.rand(stop - start, D_IN, dtype=torch.float64, generator=generator) > 0.3
            mask = kept.double()
        factor = random() if rank == 2 else None
        terms.append(Term(start, stop, scale, random(rank, D_IN), random(D_OUT, rank), mask, factor))
    return terms


def _factors(terms: list[Term]) -> list[Tensor]:
    return [term.factor for term in terms if term.factor is not None]


def _by_formula(y: Tensor, x: Tensor, terms: list[Term]) -> Tensor:
    for start, stop, scale, a, b, mask, factor in terms:
        part = x[start:stop] if mask is None else x[start:stop] * mask
        update = torch.zeros_like(y)
        update[start:stop] = (1 if factor is None else factor) * scale * (part @ a.t()) @ b.t()
        y = y + update
    return y


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("contiguous", [True, False])
def test_equals_the_formula_with_its_gradients(dropout: bool, contiguous: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    terms = _terms(generator, dropout=dropout)
    weight = torch.randn(D_OUT, D_IN, dtype=torch.float64, generator=generator)
    bias = torch.randn(D_OUT, dtype=torch.float64, generator=generator)
    shape = (TOKENS, D_IN) if contiguous else (D_IN, TOKENS)
    leaf = torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()
    x = leaf if contiguous else leaf.t()
    leaves = [leaf, *(t.a_RI for t in terms), *(t.b_OR for t in terms), *_factors(terms)]
    direction = torch.randn(TOKENS, D_OUT, dtype=torch.float64, generator=generator)

    expected = _by_formula(linear(x, weight, bias), x, terms)
    wanted = torch.autograd.grad((expected * direction).sum(), leaves)
    for actual in (
        segment_linear(x, weight, bias, terms),
        segment_delta(linear(x, weight, bias), x, terms),
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
        gradients = torch.autograd.grad((actual * direction).sum(), leaves)
        torch.testing.assert_close(gradients, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dropout", [False, True])
def test_gradcheck(dropout: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    terms = _terms(generator, dropout=dropout)
    weight = torch.randn(D_OUT, D_IN, dtype=torch.float64, generator=generator)
    x = torch.randn(TOKENS, D_IN, dtype=torch.float64, generator=generator).requires_grad_()
    count = len(terms)

    def function(x: Tensor, *ab: Tensor) -> Tensor:
        return segment_linear(x, weight, None, changed(*ab))

    def delta(x: Tensor, *ab: Tensor) -> Tensor:
        return segment_delta(linear(x, weight), x, changed(*ab))

    def changed(*ab: Tensor) -> list[Term]:
        factors = iter(ab[2 * count :])
        own = [None if t.factor is None else next(factors) for t in terms]
        return [t._replace(a_RI=ab[i], b_OR=ab[count + i], factor=own[i]) for i, t in enumerate(terms)]

    inputs = (x, *(t.a_RI for t in terms), *(t.b_OR for t in terms), *_factors(terms))
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradcheck(delta, inputs)


def test_no_gradient_for_an_input_that_needs_none() -> None:
    generator = torch.Generator().manual_seed(2)
    terms = _terms(generator, dropout=False)
    weight = torch.randn(D_OUT, D_IN, dtype=torch.float64, generator=generator)
    x = torch.randn(TOKENS, D_IN, dtype=torch.float64, generator=generator)
    segment_linear(x, weight, None, terms).sum().backward()
    assert x.grad is None and weight.grad is None
    assert all(term.a_RI.grad is not None for term in terms)


def test_gradcheck_with_a_weight_that_is_made_and_an_input_that_is_not_contiguous() -> None:
    generator = torch.Generator().manual_seed(3)
    terms = _terms(generator, dropout=True)
    weight = torch.randn(D_OUT, D_IN, dtype=torch.float64, generator=generator)
    leaf = torch.randn(D_IN, TOKENS, dtype=torch.float64, generator=generator).requires_grad_()
    count = len(terms)

    def function(leaf: Tensor, *ab: Tensor) -> Tensor:
        changed = [t._replace(a_RI=ab[i], b_OR=ab[count + i]) for i, t in enumerate(terms)]
        return segment_linear(leaf.t(), lambda: weight, None, changed)

    assert torch.autograd.gradcheck(function, (leaf, *(t.a_RI for t in terms), *(t.b_OR for t in terms)))


def test_each_gradient_is_made_where_it_alone_is_needed() -> None:
    """One leaf at a time, as where one adapter of a stack, or one matrix of an adapter, is frozen."""
    generator = torch.Generator().manual_seed(4)
    terms = _terms(generator, dropout=True)
    weight = torch.randn(D_OUT, D_IN, dtype=torch.float64, generator=generator)
    x = torch.randn(TOKENS, D_IN, dtype=torch.float64, generator=generator).requires_grad_()
    leaves = [x, *(t.a_RI for t in terms), *(t.b_OR for t in terms), *_factors(terms)]
    direction = torch.randn(TOKENS, D_OUT, dtype=torch.float64, generator=generator)
    wanted = torch.autograd.grad((_by_formula(linear(x, weight), x, terms) * direction).sum(), leaves)
    for leaf, expected in zip(leaves, wanted, strict=True):
        for other in leaves:
            other.requires_grad_(other is leaf)
        for actual in (segment_linear(x, weight, None, terms), segment_delta(linear(x, weight), x, terms)):
            (gradient,) = torch.autograd.grad((actual * direction).sum(), leaf)
            torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)
