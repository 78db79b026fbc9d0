"""Packed attention against the softmax written out, sequence by sequence: windows, heads, prefixes, dtypes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from hf_mtl.adapters import RoutedPass, install
from hf_mtl.errors import RoutingError
from hf_mtl.models.attention import PACKED, register_packed_attention

LENGTHS, HEADS, KEY_HEADS, WIDTH = (5, 1, 9), 4, 2, 8


class _Layer(nn.Module):
    """What the attention function reads of a base's layer."""

    def __init__(self, *, is_causal: bool = True) -> None:
        super().__init__()
        self.is_causal = is_causal
        self.layer_idx = 1
        self.num_key_value_groups = HEADS // KEY_HEADS


def _states(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    total = sum(LENGTHS)
    return [
        torch.randn(1, h, total, WIDTH, generator=generator).to(dtype) for h in (HEADS, KEY_HEADS, KEY_HEADS)
    ]


def _attended(layer: nn.Module, states: list[Tensor], routed: RoutedPass, **options: object) -> Tensor:
    register_packed_attention()
    with install(routed):
        attended: Tensor = AttentionInterface()[PACKED](layer, *states, None, **options)[0]
    return attended


def _by_formula(
    states: list[Tensor],
    *,
    causal: bool,
    window: int | None = None,
    scale: float = WIDTH**-0.5,
    prefixes: list[tuple[Tensor, Tensor] | None] | None = None,
) -> Tensor:
    parts = []
    pieces = zip(
        *(x[0].split(LENGTHS, dim=1) for x in states), prefixes or [None] * len(LENGTHS), strict=True
    )
    for query, key, value, prefix in pieces:
        if prefix is not None:
            key, value = (torch.cat([own, x], dim=1) for own, x in zip(prefix, (key, value), strict=True))
        key, value = (x.repeat_interleave(HEADS // KEY_HEADS, dim=0) for x in (key, value))
        virtual = key.shape[1] - query.shape[1]
        scores = scale * query @ key.transpose(1, 2)
        for i in range(query.shape[1]):
            for j in range(key.shape[1]):
                distance = i + virtual - j
                if (causal and distance < 0) or (window is not None and abs(distance) >= window):
                    scores[:, i, j] = -torch.inf
        parts.append((scores.softmax(dim=-1) @ value).transpose(0, 1))
    return torch.cat(parts).unsqueeze(0)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 1, 2, 5, 8, 9, 20])
@pytest.mark.parametrize("with_prefix", [False, True])
def test_windows_and_prefixes(causal: bool, window: int | None, with_prefix: bool) -> None:
    states, layer = _states(), _Layer(is_causal=causal)
    prefixes: list[tuple[Tensor, Tensor] | None] = [None] * 3
    routed = RoutedPass(lengths=LENGTHS)
    if with_prefix:
        torch.manual_seed(1)
        keys, values = (
            [[torch.randn(KEY_HEADS, n, WIDTH, dtype=torch.float64) for _ in range(2)] for n in (3, 1)]
            for _ in range(2)
        )
        first, second = (tuple(zip(*layers, strict=True)) for layers in zip(keys, values, strict=True))
        prefixes = [first[1], None, second[1]]  # of this layer
        routed = RoutedPass(lengths=LENGTHS, prefixes=(first, None, second))
    actual = _attended(layer, states, routed, sliding_window=window)
    expected = _by_formula(states, causal=causal, window=window, prefixes=prefixes)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("of_layer", [True, False])
@pytest.mark.parametrize("asked", [True, False])
def test_what_a_call_says_of_causality_counts_more_than_the_layer(of_layer: bool, asked: bool) -> None:
    states = _states()
    actual = _attended(_Layer(is_causal=of_layer), states, RoutedPass(lengths=LENGTHS), is_causal=asked)
    torch.testing.assert_close(actual, _by_formula(states, causal=asked), rtol=1e-12, atol=1e-12)


def test_scaling_is_the_bases_own() -> None:
    states = _states()
    actual = _attended(_Layer(), states, RoutedPass(lengths=LENGTHS), scaling=0.9)
    torch.testing.assert_close(actual, _by_formula(states, causal=True, scale=0.9), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("longest_in_fp32", [0, 4, 100])
def test_half_precision_is_near_whatever_is_attended_in_fp32(
    longest_in_fp32: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_mtl.adapters.forms._CPU_FP32_LENGTH", longest_in_fp32)
    states = _states(torch.bfloat16)
    actual = _attended(_Layer(), states, RoutedPass(lengths=LENGTHS))
    expected = _by_formula([x.double() for x in states], causal=True)
    assert actual.dtype == torch.bfloat16
    assert (actual - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize("name", ["softcap", "s_aux", "position_bias"])
def test_what_is_not_computed_is_refused(name: str) -> None:
    with pytest.raises(RoutingError, match=f"This base's attention uses '{name}'"):
        _attended(_Layer(), _states(), RoutedPass(lengths=LENGTHS), **{name: 1.0})
