"""One joint run of K tasks against K runs of plain PEFT: time and peak memory, K = 1 to 16.

    python benchmarks/together.py
    python benchmarks/picture.py     # the picture of the README

The batches are those of model.py: two examples of every task a round, of lengths that differ by task. Micro-batches
hold at most 2,048 tokens, half of the trainer's default. One result per K: results/together-SHAPE-DTYPE-kK.json.
"""

from __future__ import annotations

import argparse

from driver import Entry, measure, ratio
from workload import SHAPES, Spec, mixed

COUNTS = (1, 2, 4, 8, 16)
TOKEN_BUDGET = 2048
TOGETHER, RUNS = "one joint run", "peft: K separate runs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", default="61m", choices=SHAPES)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--tasks", nargs="*", type=int, default=COUNTS)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    for tasks in asked.tasks:
        spec = Spec(shape=asked.shape, dtype=asked.dtype, tasks=tasks)
        entries = [
            Entry(TOGETHER, "routed", spec._replace(token_budget=TOKEN_BUDGET)),
            Entry(RUNS, "peft separate runs", spec),
        ]
        result = measure(f"together-{asked.shape}-{asked.dtype}-k{tasks}", entries, mixed, asked.rounds)
        print(f"{tasks} tasks: one joint run is {ratio(result, TOGETHER, RUNS):.2f} x K runs")


if __name__ == "__main__":
    main()
