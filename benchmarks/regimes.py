"""Where mixing tasks pays, and where it cannot: small batches per task, and batches that fill the processor.

    python benchmarks/regimes.py --dtype float32 --rounds 5

In the small regime each of 8 tasks brings one row of 24 tokens, in the other one four rows of 128. All rows of a
task have one length, so nobody computes padding, and what is left is the cost of the adapters and of small products.
"""

from __future__ import annotations

import argparse
from functools import partial

from driver import Entry, measure, ratio
from record import add_folder
from workload import Spec, even

REGIMES = {"small": {"per_task": 1, "length": 24}, "compute-bound": {"per_task": 4, "length": 128}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=5)
    add_folder(parser)
    asked = parser.parse_args()
    spec = Spec(dtype=asked.dtype)
    entries = [
        Entry("routed", "routed", spec),
        Entry("peft: K separate runs", "peft separate runs", spec),
        Entry("peft: one adapter, packed", "peft one adapter packed", spec),
    ]
    for regime, size in REGIMES.items():
        batches = partial(even, per_task=size["per_task"], length=size["length"])
        name = f"regime-{regime}-61m-{asked.dtype}"
        result = measure(name, entries, batches, asked.rounds, folder=asked.folder)
        for label in result["entries"]:
            print(f"{regime}: routed is {ratio(result, 'routed', label):.2f} x {label}")


if __name__ == "__main__":
    main()
