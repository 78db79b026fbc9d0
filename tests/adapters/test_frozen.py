"""Frozen weights under autocast: cast once, the same bits, and never the cast of another weight."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from hf_mtl.adapters import forget_casts, frozen_layers, kept_bytes, renew_casts
from hf_mtl.adapters.frozen import narrow_weight

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(24, 40), (5, 24)),
    "linear without bias": (lambda: nn.Linear(24, 40, bias=False), (2, 5, 24)),
    "GPT-2's": (lambda: Conv1D(40, 24), (2, 5, 24)),
    "patches": (lambda: nn.Conv2d(3, 40, 4, stride=4), (2, 3, 8, 8)),
    "circular": (lambda: nn.Conv2d(3, 40, 3, padding=1, padding_mode="circular"), (2, 3, 8, 8)),
}


def _layer(kind: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    make, shape = LAYERS[kind]
    layer, x = make().requires_grad_(False), torch.randn(*shape)
    if isinstance(layer, Conv1D):
        layer.bias.normal_()
    return layer, x


def _cast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


class _CastsSeen(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts the tensors of a size that are copied into another dtype."""

    def __init__(self, elements: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's own
        self.elements = elements
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # Any: as torch has it
        if func is torch.ops.aten._to_copy.default and args[0].numel() == self.elements:
            self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", LAYERS)
def test_the_bits_are_those_of_plain_autocast_and_of_no_autocast(kind: str) -> None:
    layer, x = _layer(kind)
    frozen = copy.deepcopy(layer)
    frozen_layers(frozen)
    assert type(frozen) is not type(layer) and isinstance(frozen, type(layer))
    plain_x, own_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    assert torch.equal(layer(plain_x), frozen(own_x))
    for _ in range(2):
        with _cast():
            expected, found = layer(plain_x), frozen(own_x)
        assert found.dtype == torch.bfloat16 and torch.equal(found, expected)
        direction = torch.randn_like(expected)
        assert torch.equal(
            *(torch.autograd.grad(y, z, direction)[0] for y, z in ((expected, plain_x), (found, own_x)))
        )
    assert torch.equal(layer(plain_x), frozen(own_x))


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind != "circular"])
def test_a_weight_is_cast_once(kind: str) -> None:
    layer, x = _layer(kind)
    assert isinstance(layer.weight, torch.Tensor)
    elements = layer.weight.numel()
    counts = []
    for frozen in (False, True):
        if frozen:
            frozen_layers(layer)
        with _CastsSeen(elements) as seen:
            for _ in range(3):
                with _cast():
                    layer(x)
        counts.append(seen.count)
    assert counts == [3, 1]
    assert kept_bytes(layer) == 2 * elements


def _writes() -> dict[str, Callable[[nn.Linear], object]]:
    def replaced(layer: nn.Linear) -> None:
        layer.weight = nn.Parameter(layer.weight.detach() * 2, requires_grad=False)

    def other_storage(layer: nn.Linear) -> None:
        layer.weight.data = layer.weight.data * 2

    def loaded(layer: nn.Linear) -> None:
        layer.load_state_dict({"weight": layer.weight * 2, "bias": layer.bias})

    return {
        "in place": lambda layer: layer.weight.mul_(2),
        "a row": lambda layer: layer.weight[3].fill_(7.0),
        "replaced": replaced,
        "another storage": other_storage,
        "a state dict": loaded,
        "rounded": lambda layer: layer.half().float(),
    }


@pytest.mark.parametrize("how", _writes())
def test_a_changed_weight_is_cast_anew(how: str) -> None:
    layer, x = _layer("linear")
    assert isinstance(layer, nn.Linear)
    frozen_layers(layer)
    with _cast(), torch.no_grad():
        layer(x)
        _writes()[how](layer)
        if how == "rounded":  # by `weight.data`, whose new storage may stand where the old one stood
            renew_casts()
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
        assert torch.equal(narrow_weight(layer.weight, x), layer.weight.bfloat16())


@pytest.mark.parametrize("shape", [(40, 24), (64, 64), (3, 5), (576, 192)])
def test_what_is_written_behind_autograds_back_is_found_on_request(shape: tuple[int, int]) -> None:
    layer = nn.Linear(shape[1], shape[0]).requires_grad_(False)
    frozen_layers(layer)
    x = torch.randn(2, shape[1])
    with _cast():
        layer(x)
        before = kept_bytes(layer)
        renew_casts()
        assert kept_bytes(layer) == before > 0
        layer.weight.data.mul_(1.01)
        renew_casts()
        assert kept_bytes(layer) == 0
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_tied_weights_have_one_copy_and_copies_go_with_their_weights() -> None:
    first, second = nn.Linear(24, 40, bias=False), nn.Linear(24, 40, bias=False)
    second.weight = first.weight
    base = nn.ModuleList([first, second]).requires_grad_(False)
    frozen_layers(base)
    x = torch.randn(3, 24)
    with _cast():
        first(x), second(x)
    assert kept_bytes(base) == 2 * 24 * 40
    again = copy.deepcopy(base)
    read = pickle.loads(pickle.dumps(base))
    for other in (again, read):
        assert kept_bytes(other) == 0 and torch.equal(other[0](x), first(x))
    from hf_mtl.adapters.frozen import _CASTS

    before = len(_CASTS)
    del first, second, base
    gc.collect()
    assert len(_CASTS) == before - 1
    with _cast():
        again[0](x)
    assert kept_bytes(again) == 2 * 24 * 40
    forget_casts(again)
    assert kept_bytes(again) == 0


def test_what_autocast_leaves_alone_is_left_alone() -> None:
    wide = nn.Linear(4, 4).double().requires_grad_(False)
    trained, narrow = nn.Linear(4, 4), nn.Linear(4, 4).bfloat16().requires_grad_(False)
    for layer in (wide, trained, narrow):
        frozen_layers(layer)
    with _cast():
        assert wide(torch.ones(1, 4).double()).dtype == torch.float64
        trained(torch.ones(1, 4)).sum().backward()
        narrow(torch.ones(1, 4))
    assert trained.weight.grad is not None and kept_bytes(nn.ModuleList([wide, trained, narrow])) == 0
    hooked = nn.Linear(4, 4)
    hooked.forward = lambda x: x  # type: ignore[method-assign,assignment]  # as accelerate's offloading does it
    frozen_layers(hooked)
    assert type(hooked) is nn.Linear


def test_a_copy_made_in_inference_mode_serves_training() -> None:
    layer, x = _layer("linear")
    frozen_layers(layer)
    with torch.inference_mode(), _cast():
        layer(x)
    x.requires_grad_()
    with _cast():
        y = layer(x)
    y.sum().backward()
    assert x.grad is not None
