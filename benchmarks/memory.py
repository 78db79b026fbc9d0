"""Peak memory of one round, one process per variant: the whole process, and what the round adds to it.

    python benchmarks/memory.py --shape smollm2 --dtype bfloat16

The batches are those of model.py. Loading is left out of the peak; the optimizer's state is in it.
"""

from __future__ import annotations

import argparse

from driver import chosen, measure
from model import entries
from record import add_folder
from workload import SHAPES, Spec, mixed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", default="61m", choices=SHAPES)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--only", nargs="*", default=["*"], help="only entries that fit one of these patterns"
    )
    add_folder(parser)
    asked = parser.parse_args()
    spec = Spec(shape=asked.shape, dtype=asked.dtype)
    name = f"memory-{asked.shape}-{asked.dtype}"
    result = measure(
        name,
        chosen(entries(spec), asked.only),
        lambda _, index: mixed(spec, index),
        asked.rounds,
        together=False,
        folder=asked.folder,
    )
    for label, entry in result["entries"].items():
        peak = max(sample["peak_mib"] for sample in entry["samples"])
        print(f"{label}: {peak:.0f} MiB, of them {peak - entry['rest_mib']:.0f} MiB for the round")


if __name__ == "__main__":
    main()
