"""One frozen linear layer with N adapters on 2,048 tokens: the forms of the low-rank products beside plain PEFT's.

    python benchmarks/layer.py            # writes benchmarks/results/layer.json, anew after each shape

Forward and backward, medians of interleaved runs in process CPU time, one thread. `peft` is one adapter for all tokens
as PEFT computes it, `segments` what the library does, `fp32` and `own` the same with that dtype of products forced.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import time
from collections.abc import Callable

import torch
from record import add_folder, commit, device, versions, write
from torch import Tensor
from torch.nn.functional import linear

from hf_mtl.adapters import Term, forms, segment_linear
from hf_mtl.adapters.grouped import grouped_delta

TOKENS, RANK, SCALE = 2048, 8, 2.0
LIMIT = forms._CPU_FP32_ELEMENTS


def shapes(d_in: int, d_out: int, count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, list[Term]]:
    """Weight, input, and `count` terms of uneven lengths that tile the input."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(d_out, d_in, generator=generator) / d_in**0.5
    x = torch.randn(TOKENS, d_in, generator=generator)
    shares = torch.rand(count, generator=generator) + 0.3
    ends = [0, *(shares.cumsum(0) / shares.sum() * TOKENS).long().tolist()]
    ends[-1] = TOKENS
    terms = [
        Term(
            start,
            stop,
            SCALE,
            (torch.randn(RANK, d_in, generator=generator) / d_in**0.5).requires_grad_(),
            torch.randn(d_out, RANK, generator=generator).requires_grad_(),
        )
        for start, stop in itertools.pairwise(ends)
    ]
    return weight.to(dtype), x.to(dtype).requires_grad_(), terms


def measure(d_in: int, d_out: int, count: int, dtype: torch.dtype, runs: int) -> dict[str, float]:
    """Milliseconds of each form."""
    weight, x, terms = shapes(d_in, d_out, count, dtype)
    gradient = torch.randn(TOKENS, d_out).to(dtype)
    one = terms[0]

    def plain() -> Tensor:  # lora.Linear.forward: the input goes to the adapter's dtype, the result back
        update = linear(linear(x.to(one.a_RI.dtype), one.a_RI), one.b_OR) * SCALE
        return linear(x, weight) + update.to(dtype)

    def segments(limit: int) -> Tensor:
        forms._CPU_FP32_ELEMENTS = limit
        return segment_linear(x, weight, None, terms)

    cases: dict[str, Callable[[], Tensor]] = {
        "base": lambda: linear(x, weight),
        "peft": plain,
        "segments": lambda: segments(LIMIT),
        "fp32": lambda: segments(1 << 60),
        "own": lambda: segments(0),
        "grouped_mm": lambda: grouped_delta(linear(x, weight), x, terms),
    }
    if dtype == torch.float32:
        del cases["fp32"], cases["own"]
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for run in range(runs + 1):
        for name, case in cases.items():
            for leaf in (x, *(t.a_RI for t in terms), *(t.b_OR for t in terms)):
                leaf.grad = None
            started = time.process_time()
            output = case()
            output.backward(gradient)
            if run:  # the first warms up
                seconds[name].append(time.process_time() - started)
    return {name: round(statistics.median(values) * 1e3, 3) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="one shape only")
    add_folder(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    result = environment(options.runs) | {"rows": rows}
    sizes = ((576, 576), (576, 1536), (1536, 576), (2048, 2048))
    for dtype in (torch.float32, torch.bfloat16):
        for d_in, d_out in sizes[: 1 if options.quick else None]:
            for count in (1, 4, 16, 64):
                figures = measure(d_in, d_out, count, dtype, options.runs)
                rows.append(
                    {"dtype": str(dtype)[6:], "d_in": d_in, "d_out": d_out, "adapters": count, **figures}
                )
                print(rows[-1], flush=True)
                write(options.folder, "layer", result)


def environment(runs: int) -> dict[str, object]:
    return {
        "benchmark": "layer",
        "unit": "milliseconds of process CPU time, forward and backward",
        "tokens": TOKENS,
        "rank": RANK,
        "runs": runs,
        "commit": commit(),
        **versions(),
        "python": platform.python_version(),
        "device": device(),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
