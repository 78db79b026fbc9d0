"""What more adapters cost: K = 1, 4, 16, 64 on the same 64 sequences, 4,096 tokens a round.

python benchmarks/scaling.py --dtype float32 --rounds 5
"""

from __future__ import annotations

import argparse

from driver import Entry, measure, ratio
from record import add_folder
from workload import Spec, divided

COUNTS = (1, 4, 16, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=5)
    add_folder(parser)
    asked = parser.parse_args()
    entries = [Entry(f"routed: K = {k}", "routed", Spec(dtype=asked.dtype, tasks=k)) for k in COUNTS]
    result = measure(f"scaling-61m-{asked.dtype}", entries, divided, asked.rounds, folder=asked.folder)
    for label in result["entries"]:
        print(f"{label} is {ratio(result, label, entries[0].label):.2f} x {entries[0].label}")


if __name__ == "__main__":
    main()
