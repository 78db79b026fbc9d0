"""What one round of a variant spends its time on, in a few groups of operations.

    python benchmarks/profile_step.py routed --dtype bfloat16
    python benchmarks/profile_step.py routed --dtype bfloat16 --tasks 64 --batches divided --name profile-k64-bfloat16

Profiling slows small operations down more than large ones; the shares say where to look, `scaling.py` and `model.py`
say what it costs.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from driver import initial_weights
from record import HERE, add_folder, commit, device, write
from torch.profiler import ProfilerActivity, profile
from worker import VARIANTS
from workload import SHAPES, Spec, divided, mixed

PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm")
NARROW = 16  # a product with a dimension up to this is one with an adapter's matrix
GROUPS = {
    "attention": ("scaled_dot_product", "softmax"),
    "casts and copies": ("aten::copy_", "aten::_to_copy", "aten::to", "aten::cat"),
    "views and allocation": (
        "aten::slice", "aten::t", "aten::transpose", "aten::view", "aten::reshape", "aten::as_strided", "aten::empty",
        "aten::split", "aten::detach", "aten::narrow", "aten::_unsafe_view", "aten::matmul", "aten::linear",
    ),
    "autograd and Python around the segments": ("_SegmentLinear", "_SegmentDelta", "autograd::"),
}  # fmt: skip


def group_of(name: str, shapes: Sequence[Sequence[int]]) -> str:
    """The group of an operation, by its name and the shapes of its inputs."""
    if name in PRODUCTS:
        narrow = min(min(shape) for shape in shapes if shape) <= NARROW
        return "low-rank products" if narrow else "base products"
    for group, beginnings in GROUPS.items():
        if any(part in name if group == "attention" else name.startswith(part) for part in beginnings):
            return group
    return "element by element (base, loss, sums)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--shape", default="61m", choices=SHAPES)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--batches", default="mixed", choices=["mixed", "divided"])
    parser.add_argument("--label-share", type=float, default=1.0, help="of the tokens; with mixed batches")
    parser.add_argument("--name", help="writes NAME.json")
    add_folder(parser)
    asked = parser.parse_args()
    sys.path.insert(0, str(HERE))
    torch.set_num_threads(1)
    spec = Spec(shape=asked.shape, dtype=asked.dtype, tasks=asked.tasks)
    module, name = VARIANTS[asked.variant]
    with tempfile.TemporaryDirectory() as folder:
        weights = initial_weights(spec, Path(folder))
        variant = getattr(importlib.import_module(f"variants.{module}"), name)(spec, str(weights))
    examples = divided if asked.batches == "divided" else partial(mixed, share=asked.label_share)
    variant.step(examples(spec, 0))
    variant.update()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        variant.step(examples(spec, 1))
    seconds: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for event in profiled.key_averages(group_by_input_shape=True):
        group = group_of(event.key, event.input_shapes)
        seconds[group] += event.self_cpu_time_total / 1e6
        calls[group] += event.count
    groups = {group: {"seconds": own, "calls": calls[group]} for group, own in seconds.most_common()}
    for group, own in groups.items():
        print(
            f"{own['seconds']:8.3f} s {own['seconds'] / seconds.total():6.1%} {own['calls']:8d} calls  {group}"
        )
    if asked.name:
        result: dict[str, Any] = {
            "name": asked.name, "variant": asked.variant, "spec": spec._asdict(), "batches": asked.batches,
            "label_share": asked.label_share,
            "device": device(), "threads": 1, "commit": commit(), "versions": {"torch": torch.__version__},
            "groups": groups,
        }  # fmt: skip
        write(asked.folder, asked.name, result)


if __name__ == "__main__":
    main()
