"""What it costs to cut the logits of one pass by route: a slice for each route, and one split for all.

    python benchmarks/heads.py            # writes benchmarks/results/heads.json

`split` is `RoutedModel.by_route`; `slices` is what it was before, kept here alone. The head's backward pass is that of
the routes' losses down to the gradient of the logits `[N, V]`. A step is a whole one, from Python lists to updated
adapters, of a base of SmolLM2's shape with random weights. Medians of interleaved runs, process CPU time, one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from driver import initial_weights
from record import add_folder, commit, device, versions, write
from torch import Tensor
from torch.nn.functional import cross_entropy
from variants.routed import Routed
from workload import Example, Spec, divided

from hf_mtl.data import PackedBatch, PaddedBatch, pack, route_parts
from hf_mtl.models import RoutedModel

LABELS, VOCABULARY = 1024, 32_000
ROUTES = (1, 2, 4, 8, 16, 32, 64)
TASKS_OF_STEPS = (8, 32)
SEQUENCES, TOKENS = 32, 1280  # of a step, dealt out to any number of tasks

Seconds = dict[str, list[float]]


def sliced(logits_NV: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """A view of the logits for each route, each with a backward of its own."""
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [logits_NV[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def split(logits_NV: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Views that share one backward."""
    return list(logits_NV.split(list(sizes)))


class SlicedModel(RoutedModel):
    """A model whose logits are cut as they were before."""

    def by_route(self, batch: PackedBatch | PaddedBatch) -> dict[str, Tensor]:
        """Without heads of the tasks' own."""
        logits = self(batch)
        parts = route_parts(batch.rows, batch.label_counts)
        return {route: logits[part.labels] for route, part in parts.items()}


class Step(Routed):
    """A round whose losses are taken route by route, as the trainer does it."""

    def step(self, examples: Sequence[Example]) -> float:
        """Each task's mean over its own labels, summed."""
        batch = pack(self._chunks(examples))
        self.optimizer.start_round({segment.route for segment in batch.segments})
        parts = route_parts(batch.rows, batch.label_counts)
        means = [
            cross_entropy(logits.float(), batch.label_ids[parts[route].labels])
            for route, logits in self.model.by_route(batch).items()
        ]
        total = torch.stack(means).sum()
        total.backward()
        return total.item()


def backward_of_heads(routes: int, runs: int) -> tuple[Seconds, bool]:
    """Seconds of the losses' backward pass by form, and whether both gave the same gradient to the bit."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(LABELS, VOCABULARY, generator=generator).requires_grad_()
    labels = torch.randint(VOCABULARY, (LABELS,), generator=generator)
    sizes = [LABELS // routes] * routes
    forms: dict[str, Callable[[Tensor, Sequence[int]], list[Tensor]]] = {"slices": sliced, "split": split}
    seconds: Seconds = {form: [] for form in forms}
    gradients: dict[str, Tensor | None] = {}
    for run in range(runs + 1):
        for form, cut in forms.items():
            logits.grad = None
            pairs = zip(cut(logits, sizes), labels.split(sizes), strict=True)
            total = torch.stack([cross_entropy(part, own) for part, own in pairs]).sum()
            started = time.process_time()
            total.backward()
            if run:  # the first warms up
                seconds[form].append(time.process_time() - started)
            gradients[form] = logits.grad
    before, after = gradients["slices"], gradients["split"]
    assert before is not None and after is not None
    return seconds, torch.equal(before, after)


def whole_steps(tasks: int, runs: int) -> tuple[Seconds, float, bool]:
    """Seconds of a step by form, its labels, and whether both had the same losses to the bit."""
    spec = Spec(shape="smollm2", dtype="bfloat16", tasks=tasks)
    with tempfile.TemporaryDirectory() as folder:
        weights = str(initial_weights(spec, Path(folder)))
        forms = {form: Step(spec, weights) for form in ("slices", "split")}
    forms["slices"].model.__class__ = SlicedModel
    seconds: Seconds = {form: [] for form in forms}
    losses: dict[str, list[float]] = {form: [] for form in forms}
    labels = []
    for run in range(runs + 1):
        examples = divided(spec, run, sequences=SEQUENCES, tokens=TOKENS)
        for form, variant in forms.items():
            started = time.process_time()
            losses[form].append(variant.step(examples))
            variant.update()
            if run:
                seconds[form].append(time.process_time() - started)
        labels.append(sum(len(example["ids"]) - example["learned"] for example in examples))
    return seconds, statistics.median(labels[1:]), losses["slices"] == losses["split"]


def _row(seconds: Seconds) -> dict[str, Any]:
    """Medians, the ratio within runs, and all samples."""
    pairs = zip(seconds["slices"], seconds["split"], strict=True)
    medians = {form: round(statistics.median(own), 4) for form, own in seconds.items()}
    samples = {form: [round(value, 4) for value in own] for form, own in seconds.items()}
    return {
        "seconds": medians,
        "slices_over_split": round(statistics.median(a / b for a, b in pairs), 2),
        "samples": samples,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="measured backward passes of each form")
    parser.add_argument("--steps", type=int, default=5, help="measured steps of each form")
    add_folder(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "name": "heads",
        "unit": "seconds of process CPU time; before (slices) and after (split), interleaved",
        "device": device(),
        "threads": 1,
        "cores": os.cpu_count(),
        "machine": "shared with other work while this was measured: read the ratios",
        "commit": commit(),
        "versions": versions(),
        "backward": {"labels": LABELS, "vocabulary": VOCABULARY, "dtype": "float32", "routes": {}},
        "steps": {"shape": "smollm2", "dtype": "bfloat16", "tokens": TOKENS, "tasks": {}},
    }
    for routes in ROUTES:
        seconds, same = backward_of_heads(routes, options.runs)
        result["backward"]["routes"][str(routes)] = {**_row(seconds), "same_gradient": same}
        print("backward", routes, result["backward"]["routes"][str(routes)], flush=True)
        write(options.folder, "heads", result | {"load_average": os.getloadavg()[1]})
    for tasks in TASKS_OF_STEPS:
        seconds, labels, same = whole_steps(tasks, options.steps)
        result["steps"]["tasks"][str(tasks)] = {**_row(seconds), "labels": labels, "same_losses": same}
        print("step", tasks, result["steps"]["tasks"][str(tasks)], flush=True)
        write(options.folder, "heads", result | {"load_average": os.getloadavg()[1]})


if __name__ == "__main__":
    main()
