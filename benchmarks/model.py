"""The whole model, 8 tasks of different lengths: ours against what users and peers do today.

    python benchmarks/model.py --dtype float32 --rounds 9
    python benchmarks/model.py --shape smollm2 --label-share 0.25 --only routed "*one adapter, packed"

Peers need environments of their own, once: benchmarks/peers/setup.sh
"""

from __future__ import annotations

import argparse
from functools import partial

from driver import Entry, chosen, measure, ratio
from record import add_folder
from workload import SHAPES, Spec, mixed

PEER_DROPOUT = 0.05  # MoE-PEFT refuses to train without dropout


def entries(spec: Spec) -> list[Entry]:
    drops = spec._replace(dropout=PEER_DROPOUT)
    return [
        Entry("routed", "routed", spec),
        Entry("peft: K separate runs", "peft separate runs", spec),
        Entry("peft: one adapter, packed", "peft one adapter packed", spec),
        Entry("peft: one adapter, packed, attention in dtype", "peft one adapter packed, base dtype", spec),
        Entry("peft: one adapter, packed, stock sdpa", "peft one adapter packed, sdpa", spec),
        Entry("routed: one fused adapter", "routed", spec._replace(tasks=1)),
        Entry("peft: set_adapter per micro-batch", "peft set_adapter", spec),
        Entry("peft: adapter_names, padded", "peft adapter_names", spec),
        Entry("adapterhub: BatchSplit, padded", "adapterhub", spec),
        Entry("moe-peft: dropout 0.05, padded", "moe-peft", drops),
        Entry("routed: dropout 0.05", "routed", drops),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", default="61m", choices=SHAPES)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--label-share", type=float, default=1.0, help="share of the tokens that are labels")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--only", nargs="*", default=["*"], help="only entries that fit one of these patterns"
    )
    parser.add_argument("--name", help="of the result; default made from shape, dtype and share")
    add_folder(parser)
    asked = parser.parse_args()
    spec = Spec(shape=asked.shape, dtype=asked.dtype)
    share = "" if asked.label_share == 1 else f"-labels{asked.label_share:g}"
    batches = partial(mixed, share=asked.label_share)
    result = measure(
        asked.name or f"model-{asked.shape}-{asked.dtype}{share}",
        chosen(entries(spec), asked.only),
        lambda one, index: batches(spec, index),  # the same examples for one adapter as for many
        asked.rounds,
        folder=asked.folder,
    )
    for label in result["entries"]:
        if "routed" in result["entries"]:
            print(f"routed is {ratio(result, 'routed', label):.2f} x {label}")


if __name__ == "__main__":
    main()
