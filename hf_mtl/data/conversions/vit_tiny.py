"""A small vision transformer with random weights, and the image processor that belongs to it.

The weights come from a hash of each tensor's name and not from torch's generator, whose normal numbers differ in the
last bits between processors: adapters trained on one machine fit the trunk that another one makes.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["convert_vit_tiny"]

_SEED: Final = "hf_mtl vit-tiny 1"
_SIDE: Final = 28  # pixels: MNIST as it is; the processor brings other sizes to it
_STANDARD_DEVIATION: Final = 0.02  # what transformers starts a ViT with


def convert_vit_tiny(_: Path, folder: Path) -> None:
    """Make the trunk from its configuration and save it; nothing is read."""
    import torch
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    config = ViTConfig(
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=384,
        image_size=_SIDE,
        patch_size=4,
        num_channels=1,
    )
    with torch.random.fork_rng(devices=[]):  # the constructor draws numbers, which are overwritten
        model = ViTModel(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_start(name, parameter))
    model.save_pretrained(folder)
    size = {"height": _SIDE, "width": _SIDE}
    ViTImageProcessorPil(size=size, image_mean=[0.5], image_std=[0.5]).save_pretrained(folder)


def _start(name: str, like: Tensor) -> Tensor:
    """A tensor's first values: uniform of a ViT's usual deviation, except biases (0) and norms (1)."""
    import torch

    if name.endswith(".bias"):
        return torch.zeros_like(like)
    if "norm" in name:
        return torch.ones_like(like)
    bytes_ = bytearray(hashlib.shake_256(f"{_SEED} {name}".encode()).digest(4 * like.numel()))
    # 24 bits are whole numbers of float32, so that this is exact but for the last product.
    whole = torch.frombuffer(bytes_, dtype=torch.uint8).reshape(-1, 4).to(torch.float32)
    unit = (whole[:, 0] * 2.0**16 + whole[:, 1] * 2.0**8 + whole[:, 2]) * 2.0**-24 - 0.5
    return (unit * (2 * math.sqrt(3) * _STANDARD_DEVIATION)).reshape(like.shape)
