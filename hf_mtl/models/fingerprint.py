"""A short name for a base's weights, to tell two bases of one id apart.

Two copies of "the same" model differ when one was quantised on its way, converted, or further trained; an
adapter fits only the weights that it was trained on. The fingerprint reads evenly spaced elements of every
tensor, so it costs milliseconds even for large models, and it is the same for a file loaded as bf16 and as
fp32.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["fingerprint"]

_SAMPLES = 1024


def fingerprint(model: nn.Module) -> str:
    """Return `"sampled-sha256:<64 hex digits>"` over the names, shapes and sampled elements of all parameters.

    Args:
        model: The base, before anything is attached to it. Values are compared as fp32 rounded to bf16;
            quantised tensors by their stored bytes and scales, so a quantised copy has a fingerprint of its own.
    """
    import torch

    from hf_mtl.adapters import quantisation_scales

    digest = hashlib.sha256()
    for name, parameter in sorted([*model.named_parameters(), *quantisation_scales(model)]):
        flat = parameter.detach().reshape(-1)
        step = max(1, flat.numel() // _SAMPLES)
        sample = flat[::step][:_SAMPLES]
        if sample.is_floating_point():
            sample = sample.to(torch.bfloat16).float()
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(sample.cpu().contiguous().numpy().tobytes())
    return f"sampled-sha256:{digest.hexdigest()}"
