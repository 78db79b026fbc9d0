"""The devices that tests of arithmetic run on: the CPU everywhere, and a GPU where torch sees one.

The CPU's cases belong to the quick suite, so that a test for GPUs is called by the suite that everybody runs; the GPU's
carry the mark `gpu`:

    python -m pytest -m gpu tests
"""

from __future__ import annotations

import pytest
import torch

__all__ = ["GPU", "on_every_device"]

GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
on_every_device = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
