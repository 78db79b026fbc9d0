"""Which operations one round of a variant spends its time in.

python benchmarks/profile_step.py "routed" --dtype bfloat16
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

import torch
from driver import HERE, initial_weights
from torch.profiler import ProfilerActivity, profile
from worker import VARIANTS
from workload import SHAPES, Spec, mixed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--shape", default="61m", choices=SHAPES)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--lines", type=int, default=20)
    asked = parser.parse_args()
    sys.path.insert(0, str(HERE))
    torch.set_num_threads(1)
    spec = Spec(shape=asked.shape, dtype=asked.dtype, tasks=asked.tasks)
    module, name = VARIANTS[asked.variant]
    with tempfile.TemporaryDirectory() as folder:
        weights = initial_weights(spec, Path(folder))
        variant = getattr(importlib.import_module(f"variants.{module}"), name)(spec, str(weights))
    variant.step(mixed(spec, 0))
    variant.update()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        variant.step(mixed(spec, 1))
        variant.update()
    print(profiled.key_averages().table(sort_by="self_cpu_time_total", row_limit=asked.lines))


if __name__ == "__main__":
    main()
