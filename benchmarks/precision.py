"""What bf16 autocast gains over fp32, and what keeping the casts of frozen weights gains over casting in every pass.

    python benchmarks/precision.py --rounds 5

The 61M model in fp32 with 8 adapters, forward and backward: in fp32, under autocast as `bf16=True` computes it, and
under autocast with the kept copies dropped before every pass, as plain autocast has it; and a model whose base is bf16.
A long pass (16 examples of about 80 tokens) and a short one (8 of 16 tokens), where a cast weighs more.

All take turns in one process, another one begins each time; time is the process's CPU time, one thread. A ratio is the
median over rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from driver import initial_weights
from record import add_folder, commit, device, versions, write
from variants.routed import Routed
from workload import Example, Spec, even, mixed

from hf_mtl.adapters import forget_casts, kept_bytes

FP32, KEPT, CAST, NARROW = (
    "fp32",
    "autocast, cast once",
    "autocast, cast in every pass",
    "bf16 base",
)


def ways(folder: Path) -> dict[str, Callable[[Sequence[Example]], float]]:
    """Each way of computing a pass, from the examples to the loss."""
    models = {}
    for dtype in ("float32", "bfloat16"):
        spec = Spec(dtype=dtype)
        models[dtype] = Routed(spec, str(initial_weights(spec, folder)))
    wide = models["float32"]

    def autocast(examples: Sequence[Example]) -> float:
        # As in the trainer: the backward pass is outside, where it makes no difference.
        with torch.autocast("cpu", torch.bfloat16):
            return wide.step(examples)

    def cast_again(examples: Sequence[Example]) -> float:
        forget_casts(wide.model)
        return autocast(examples)

    return {FP32: wide.step, KEPT: autocast, CAST: cast_again, NARROW: models["bfloat16"].step}


def measured(
    steps: dict[str, Callable[[Sequence[Example]], float]], rounds: Sequence[Sequence[Example]]
) -> dict[str, list[float]]:
    """CPU seconds of every way in every round; the first round warms up and is left out."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for index, examples in enumerate(rounds):
        turn = index % len(names)
        for name in names[turn:] + names[:turn]:
            if name == KEPT:
                steps[name](examples[:1])  # so that the copies are there again
            began = time.process_time()
            steps[name](examples)
            if index:
                seconds[name].append(time.process_time() - began)
    return seconds


def ratio(seconds: dict[str, list[float]], name: str, reference: str) -> float:
    """How many times as fast a way is as another one."""
    return statistics.median(b / a for a, b in zip(seconds[name], seconds[reference], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    add_folder(parser)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        steps = ways(Path(folder))
    spec = Spec()
    passes = {
        "long": [mixed(spec, index) for index in range(asked.rounds + 1)],
        "short": [even(spec, index, per_task=1, length=16) for index in range(asked.rounds + 1)],
    }
    table = {}
    for size, rounds in passes.items():
        seconds = measured(steps, rounds)
        tokens = statistics.mean(sum(len(e["ids"]) for e in examples) for examples in rounds)
        speeds = {name: ratio(seconds, name, FP32) for name in steps}
        once = ratio(seconds, KEPT, CAST)
        table[size] = {
            "tokens": tokens,
            "seconds": seconds,
            "speed_of_fp32": speeds,
            "once_to_every_pass": once,
        }
        told = ", ".join(f"{name} {speed:.2f}" for name, speed in speeds.items())
        print(
            f"{size} passes of {tokens:.0f} tokens, speed over fp32's: {told}; cast once {once:.2f} of every pass"
        )
    wide = steps[FP32].__self__.model  # type: ignore[attr-defined]  # the bound method's variant
    steps[KEPT](passes["short"][0])
    result = {
        "name": "precision-61m", "device": device(), "threads": 1, "commit": commit(), "versions": versions(),
        "kept_mib": kept_bytes(wide) / 2**20, "passes": table,
    }  # fmt: skip
    write(asked.folder, "precision-61m", result)


if __name__ == "__main__":
    main()
