"""Dropout by keys has the statistics of torch's dropout: a share `p` of zeros, and the input as its mean."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hf_mtl.adapters import RoutedLinear, RoutedPass, Span, install
from hf_mtl.adapters.dora import DoraUpdate
from hf_mtl.adapters.dropout import kept_scale, keyed_mask, layer_key
from hf_mtl.adapters.lora import LoraUpdate

LENGTHS = (37, 3, 60, 16)  # rows of blocks, and of less and more than one
WIDTH = 512
DRAWN = sum(LENGTHS) * WIDTH


def _mask(p: float, *, padded: bool = False, key: int = 5, keys: tuple[int, ...] = (1, 2, 3, 4)) -> Tensor:
    routed = RoutedPass(lengths=LENGTHS, dropout_keys=keys, rows=len(LENGTHS) if padded else 0)
    like = torch.empty(1, WIDTH, dtype=torch.float64)
    return keyed_mask(routed, 0, sum(LENGTHS), like, p=p, key=key)


@pytest.mark.parametrize("padded", [False, True], ids=["packed", "padded"])
@pytest.mark.parametrize("p", [0.05, 0.1, 0.25, 0.5, 0.9])
def test_zeros_with_probability_p_and_the_rest_scaled_up(p: float, padded: bool) -> None:
    torch.manual_seed(0)
    stock = functional.dropout(torch.ones(sum(LENGTHS), WIDTH, dtype=torch.float64), p)
    mask = _mask(p, padded=padded)
    assert mask.unique().tolist() == [0, 1]
    multiplier = mask * kept_scale(p)
    assert multiplier.shape == stock.shape
    assert multiplier.unique().tolist() == pytest.approx(stock.unique().tolist(), rel=1e-12)
    deviation = math.sqrt(p * (1 - p) / DRAWN)
    assert abs(float((multiplier == 0).double().mean()) - p) < 4 * deviation
    assert abs(float(multiplier.mean()) - 1) < 4 * deviation / (1 - p)


def test_the_mean_over_many_rows_is_the_layer_without_dropout() -> None:
    """A trained LoRA whose rows differ in their keys alone: on average its effect is the one without dropout."""
    p, rows, width = 0.3, 4000, 6
    torch.manual_seed(0)
    x, a, b = (torch.randn(shape, dtype=torch.float64) for shape in ((1, width), (2, width), (3, 2)))
    routed = RoutedPass(lengths=(1,) * rows, dropout_keys=tuple(range(rows)))
    mask = keyed_mask(routed, 0, rows, x, p=p, key=layer_key("a.layer"))
    effects = (x * mask * kept_scale(p)) @ a.t() @ b.t()
    deviation = effects.std(dim=0) / math.sqrt(rows)
    assert ((effects.mean(dim=0) - x @ a.t() @ b.t()).abs() < 4 * deviation).all()


@pytest.mark.parametrize("padded", [False, True], ids=["packed", "padded"])
def test_rows_and_layers_draw_apart_and_again_the_same(padded: bool) -> None:
    first = _mask(0.5, padded=padded)
    assert torch.equal(first, _mask(0.5, padded=padded))
    other_layer = _mask(0.5, padded=padded, key=6)
    other_row = _mask(0.5, padded=padded, keys=(1, 2, 9, 4))
    # Independent masks of one half agree in one half of the places.
    assert abs(float((first == other_layer).double().mean()) - 0.5) < 4 * 0.5 / math.sqrt(DRAWN)
    kept = torch.ones(sum(LENGTHS), dtype=torch.bool)
    kept[sum(LENGTHS[:2]) : sum(LENGTHS[:3])] = False
    assert torch.equal(first[kept], other_row[kept])
    assert abs(float((first[~kept] == other_row[~kept]).double().mean()) - 0.5) < 4 * 0.5 / math.sqrt(
        60 * WIDTH
    )


@pytest.mark.parametrize("padded", [False, True], ids=["packed", "padded"])
def test_a_part_of_the_stream_has_the_masks_that_it_has_in_the_whole(padded: bool) -> None:
    whole = _mask(0.5, padded=padded)
    routed = RoutedPass(lengths=LENGTHS, dropout_keys=(1, 2, 3, 4), rows=4 if padded else 0)
    part = keyed_mask(routed, 37, 100, whole, p=0.5, key=5)
    assert torch.equal(part, whole[37:100])


@pytest.mark.parametrize("padded", [False, True], ids=["packed", "padded"])
def test_every_bit_of_a_key_counts(padded: bool) -> None:
    """A CPU's torch.Generator takes the lower 32 bits of its seed alone."""
    first = _mask(0.5, padded=padded)
    assert torch.equal(first, _mask(0.5, padded=padded))
    for bit in range(64):
        other = _mask(0.5, padded=padded, keys=(1 ^ (1 << bit), 2, 3, 4))
        agreeing = (first == other)[: LENGTHS[0]].double().mean()
        assert abs(float(agreeing) - 0.5) < 5 * 0.5 / math.sqrt(LENGTHS[0] * WIDTH), bit
        assert torch.equal(first[LENGTHS[0] :], other[LENGTHS[0] :])


@pytest.mark.parametrize("tokens", [64, 2048], ids=["products in fp32", "products in bf16"])
@pytest.mark.parametrize("p", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_what_is_kept_in_bf16_is_torchs(dora: bool, p: float, tokens: int) -> None:
    """Factors that hand the input through, on a base that gives nothing: what comes out is what dropout leaves.

    `native_dropout` is what torch's dropout is on a GPU. `functional.dropout` of a CPU rounds 1 / (1 - p) to bf16,
    so that all it keeps is off by the same share: one rounding.
    """
    x = torch.randn(tokens, WIDTH, generator=torch.Generator().manual_seed(0)).bfloat16()
    base = nn.Linear(WIDTH, WIDTH, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    nn.init.zeros_(base.weight)
    layer = RoutedLinear(base)
    one, ones = torch.eye(WIDTH), torch.ones(WIDTH)
    layer.adapters["mtl_0"] = (
        DoraUpdate(one, one, ones, scale=1, dropout=p, path="a")
        if dora
        else LoraUpdate(one, one, scale=1, dropout=p, path="a")
    )
    with install(RoutedPass(spans=(Span("mtl_0", 0, tokens),), lengths=(tokens,), dropout_keys=(7,))):
        ours = layer.train()(x).detach()
    torch.manual_seed(0)
    for stock in (torch.native_dropout(x, p, train=True)[0], functional.dropout(x, p)):
        both = (ours != 0) & (stock != 0)
        assert 0.3 < float(both.double().mean()) < 1
        assert float(_off(ours[both], stock[both]).abs().max()) <= 2**-7  # one step of bf16
    kept = ours != 0
    off = _off(ours[kept], x[kept].double() / (1 - p))
    assert float(off.abs().max()) <= 2**-8 * 1.001  # rounded once
    assert abs(float(off.mean())) < 1e-4  # where 1 / (1 - p) is rounded: 8e-4 to 18e-4


def _off(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours.double() - theirs.double()) / theirs.double()
