"""The frozen layers of a base under autocast: a wide weight is cast once and kept, and not in every pass.

Autocast keeps what it casts only of weights that are trained, and only until its context ends. The weights of a frozen
fp32 base would so be cast again by every micro-batch, and under activation checkpointing twice. Here the copy is kept
until the weight changes or `forget_casts` is called:

    >>> import torch
    >>> from hf_mtl.adapters import frozen_layers, kept_bytes
    >>> base = torch.nn.Sequential(torch.nn.Linear(4, 2)).requires_grad_(False)
    >>> frozen_layers(base)
    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     base(torch.zeros(1, 4)).dtype, kept_bytes(base)
    (torch.bfloat16, 16)

The products are the same to the bit. While a round is computed memory is the same too, for its graph would hold these
copies anyway; between rounds, in evaluation and under activation checkpointing they take 2 bytes per weight more.

A copy is made anew once its weight has another storage, device or dtype, or was written to in place. What is written
through `weight.data` escapes autograd's counter, so `renew_casts` looks at a sample of every weight. The trainer calls
it before every round and evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear
from torch.utils.weak import WeakTensorKeyDictionary
from transformers.pytorch_utils import Conv1D

__all__ = [
    "autocast_dtype",
    "forget_casts",
    "frozen_layers",
    "is_plain_linear",
    "kept_bytes",
    "narrow_weight",
    "renew_casts",
]

_SAMPLE = 64  # elements of a weight that are looked at


class _Mark(NamedTuple):
    """What a weight was when it was cast; a weight with another one is cast anew."""

    address: int
    version: int
    device: torch.device
    dtype: torch.dtype
    shape: torch.Size
    strides: tuple[int, ...]


class _Cast(NamedTuple):
    mark: _Mark
    narrow: Tensor
    sample: Tensor


# By weight and not by model, so that tied weights have one copy; an entry goes with its weight.
_CASTS = WeakTensorKeyDictionary()


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """The dtype in which autocast lets `x` take part in products; None where it has no say."""
    device = x.device.type
    if x.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def narrow_weight(weight: Tensor, x: Tensor) -> Tensor:
    """A frozen weight as a product with `x` takes it: under autocast the kept copy, else the weight itself.

    Weights that are trained are left to autocast, through which their gradient flows.
    """
    dtype = autocast_dtype(x)
    if dtype is None or weight.requires_grad or weight.dtype in (dtype, torch.float64):
        return weight
    found: _Cast | None = _CASTS.get(weight)
    if found is None or found.narrow.dtype != dtype or found.mark != _mark(weight):
        found = _CASTS[weight] = _cast(weight, dtype)
    return found.narrow


def forget_casts(module: nn.Module) -> None:
    """Drop the kept copies of a module's weights; the next pass under autocast makes them anew."""
    for weight in module.parameters():
        _CASTS.pop(weight, None)


def renew_casts() -> None:
    """Drop the kept copies of weights that were changed behind autograd's back, through `weight.data`."""
    kept: list[tuple[Tensor, Tensor]] = [(weight, cast.sample) for weight, cast in _CASTS.items()]
    for device in {weight.device for weight, _ in kept}:
        here = [(weight, sample) for weight, sample in kept if weight.device == device]
        # All at once: on a GPU every look at a value waits for the device.
        if not _unchanged(here):
            for pair in here:
                if not _unchanged([pair]):
                    del _CASTS[pair[0]]


def kept_bytes(module: nn.Module) -> int:
    """The memory that the kept copies of a module's weights take."""
    copies = [_CASTS[weight].narrow for weight in module.parameters() if weight in _CASTS]
    return sum(copy.numel() * copy.element_size() for copy in copies)


def _cast(weight: Tensor, dtype: torch.dtype) -> _Cast:
    # Outside inference mode, whose tensors a later backward pass could not use.
    with torch.inference_mode(False):
        return _Cast(_mark(weight), weight.detach().to(dtype), _sample(weight).clone())


def _mark(weight: Tensor) -> _Mark:
    version = 0 if weight.is_inference() else weight._version
    return _Mark(weight.data_ptr(), version, weight.device, weight.dtype, weight.shape, weight.stride())


def _sample(weight: Tensor) -> Tensor:
    """Some elements, evenly spread; the step is odd, so that they are not all of one column."""
    flat = weight.detach().reshape(-1)
    return flat[:: (flat.numel() // _SAMPLE) | 1]


def _unchanged(kept: Sequence[tuple[Tensor, Tensor]]) -> bool:
    """Whether all weights are as their samples say; one that moved to another device or dtype is not."""
    pairs = [(_sample(weight), sample) for weight, sample in kept]
    if any(a.device != b.device or a.dtype != b.dtype or a.shape != b.shape for a, b in pairs):
        return False
    now, then = (torch.cat(each).nan_to_num() for each in zip(*pairs, strict=True))
    return torch.equal(now, then)


class FrozenLinear(nn.Linear):
    """A linear layer of the base."""

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Linear`."""
        return linear(input, narrow_weight(self.weight, input), self.bias)


class FrozenConv1D(Conv1D):
    """GPT-2's linear layer, whose weight is transposed."""

    def forward(self, x: Tensor) -> Tensor:
        """As `Conv1D`."""
        weight = narrow_weight(self.weight, x)
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), weight).view(*x.shape[:-1], self.nf)


class FrozenConv2d(nn.Conv2d):
    """A convolution of the base, such as the one that makes patches of an image."""

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Conv2d`."""
        if self.padding_mode != "zeros":
            return super().forward(input)
        weight = narrow_weight(self.weight, input)
        return conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


_FROZEN: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: FrozenLinear,
    Conv1D: FrozenConv1D,
    nn.Conv2d: FrozenConv2d,
}
_PLAIN_LINEAR = (nn.Linear, Conv1D, FrozenLinear, FrozenConv1D)


def is_plain_linear(layer: nn.Module) -> bool:
    """Whether a layer is an ordinary linear one, neither quantised nor of a class of its own."""
    return type(layer) in _PLAIN_LINEAR


def frozen_layers(base: nn.Module) -> None:
    """Let the plain layers of a base keep what they cast; what they compute does not change.

    They change their class, for nothing else can stand in their place without a new path. A layer whose forward pass
    is not its class's (accelerate's offloading) is left alone.
    """
    for module in base.modules():
        frozen = _FROZEN.get(type(module))
        if frozen is not None and "forward" not in vars(module):
            module.__class__ = frozen
