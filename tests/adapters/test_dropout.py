"""Dropout by keys has the statistics of torch's dropout: a share `p` of zeros, and the input as its mean."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hf_mtl.adapters import RoutedPass
from hf_mtl.adapters.dropout import keyed_multiplier, layer_key

LENGTHS = (37, 3, 60, 16)  # rows of blocks, and of less and more than one
WIDTH = 512
DRAWN = sum(LENGTHS) * WIDTH


def _multiplier(
    p: float, *, padded: bool = False, key: int = 5, keys: tuple[int, ...] = (1, 2, 3, 4)
) -> Tensor:
    routed = RoutedPass(lengths=LENGTHS, dropout_keys=keys, rows=len(LENGTHS) if padded else 0)
    like = torch.empty(1, WIDTH, dtype=torch.float64)
    return keyed_multiplier(routed, 0, sum(LENGTHS), like, p=p, key=key)


@pytest.mark.parametrize("padded", [False, True], ids=["packed", "padded"])
@pytest.mark.parametrize("p", [0.05, 0.1, 0.25, 0.5, 0.9])
def test_zeros_with_probability_p_and_the_rest_scaled_up(p: float, padded: bool) -> None:
    torch.manual_seed(0)
    stock = functional.dropout(torch.ones(sum(LENGTHS), WIDTH, dtype=torch.float64), p)
    multiplier = _multiplier(p, padded=padded)
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
    multiplier = keyed_multiplier(routed, 0, rows, x, p=p, key=layer_key("a.layer"))
    effects = (x * multiplier) @ a.t() @ b.t()
    deviation = effects.std(dim=0) / math.sqrt(rows)
    assert ((effects.mean(dim=0) - x @ a.t() @ b.t()).abs() < 4 * deviation).all()


@pytest.mark.parametrize("padded", [False, True], ids=["packed", "padded"])
def test_rows_and_layers_draw_apart_and_again_the_same(padded: bool) -> None:
    first = _multiplier(0.5, padded=padded)
    assert torch.equal(first, _multiplier(0.5, padded=padded))
    other_layer = _multiplier(0.5, padded=padded, key=6)
    other_row = _multiplier(0.5, padded=padded, keys=(1, 2, 9, 4))
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
    whole = _multiplier(0.5, padded=padded)
    routed = RoutedPass(lengths=LENGTHS, dropout_keys=(1, 2, 3, 4), rows=4 if padded else 0)
    part = keyed_multiplier(routed, 37, 100, whole, p=0.5, key=5)
    assert torch.equal(part, whole[37:100])
