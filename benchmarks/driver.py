"""Measures variants against each other: one process each, one round of each in turn, one JSON of all samples."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from record import HERE, RESULTS, commit, device, write
from safetensors.torch import save_file
from workload import SHAPES, Example, Spec

import hf_mtl

PEERS = {
    "moe-peft": Path(os.environ.get("PEERS", HERE / "peers")) / ".venv-moe-peft",
    "adapterhub": Path(os.environ.get("PEERS", HERE / "peers")) / ".venv-adapterhub",
}

Batches = Callable[[Spec, int], list[Example]]


class Entry(NamedTuple):
    """One line of a comparison.

    Args:
        label: What the result calls it.
        variant: A key of `worker.VARIANTS`.
        spec: What it is built for.
    """

    label: str
    variant: str
    spec: Spec


def chosen(entries: Sequence[Entry], patterns: Sequence[str]) -> list[Entry]:
    """The entries whose label fits one of the patterns (`*` stands for any text)."""
    found = [entry for entry in entries if any(fnmatchcase(entry.label, pattern) for pattern in patterns)]
    if not found:
        raise SystemExit(f"--only {patterns} fits none of {[entry.label for entry in entries]}.")
    return found


class Worker:
    """The process of one entry."""

    def __init__(self, entry: Entry, weights: Path) -> None:
        self.entry = entry
        folder = PEERS.get(entry.variant)
        python = str(folder / "bin" / "python") if folder else sys.executable
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}",
            "MOE_PEFT_EXECUTOR_TYPE": "CPU",
        }
        self.process = subprocess.Popen(
            [python, str(HERE / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        question = {"variant": entry.variant, "spec": entry.spec._asdict(), "weights": str(weights)}
        self.about = self.ask(question)

    def ask(self, question: object) -> dict[str, Any]:  # Any: the answers hold numbers and texts
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"The process of {self.entry.label!r} ended; its error stands above.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def initial_weights(spec: Spec, folder: Path) -> Path:
    """Random weights that all variants load, so that their losses can be compared."""
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPES[spec.shape]))
    state = {key: value for key, value in model.state_dict().items() if key != "lm_head.weight"}
    file = folder / f"{spec.shape}.safetensors"
    save_file(state, file)
    return file


def measure(
    name: str,
    entries: Sequence[Entry],
    batches: Batches,
    rounds: int,
    *,
    together: bool = True,
    folder: Path = RESULTS,
) -> dict[str, Any]:
    """Run all entries and write `<name>.json`, anew after each round.

    Args:
        name: Of the result.
        entries: What is compared. A peer whose environment is missing is left out, and the result says so.
        batches: The examples of a round, for an entry's spec.
        rounds: Measured rounds; one more comes first and is not counted.
        together: One round of each in turn, all processes alive, which times fairly; else one process after the
            other, which needs the memory of one.
        folder: Where the result is written.

    Returns:
        The result, as it was written.
    """
    missing = [e.label for e in entries if e.variant in PEERS and not PEERS[e.variant].is_dir()]
    for label in missing:
        print(f"left out: {label} (run benchmarks/peers/setup.sh first)")
    entries = [entry for entry in entries if entry.label not in missing]
    result: dict[str, Any] = {
        "name": name,
        "device": device(),
        "threads": 1,
        "hf_mtl": hf_mtl.__version__,
        "commit": commit(),  # now, not after the run
        "rounds": rounds,
        "left_out": missing,
        "entries": {},
    }
    with tempfile.TemporaryDirectory() as scratch:
        weights = initial_weights(entries[0].spec, Path(scratch))
        for group in [entries] if together else [[entry] for entry in entries]:
            for measured in _in_turn(group, weights, batches, rounds):
                result["entries"] |= measured
                write(folder, name, result)
    return result


def _in_turn(
    entries: Sequence[Entry], weights: Path, batches: Batches, rounds: int
) -> Iterator[dict[str, dict[str, Any]]]:
    """One process per entry, one round of each in turn; after each round what came of it so far, by label."""
    workers = [Worker(entry, weights) for entry in entries]
    samples: dict[str, list[dict[str, float]]] = {entry.label: [] for entry in entries}
    try:
        for index in range(rounds + 1):
            turn = index % len(workers)  # another one begins each time
            for worker in workers[turn:] + workers[:turn]:
                samples[worker.entry.label].append(worker.ask(batches(worker.entry.spec, index)))
            print(f"round {index}: " + _line(samples, index), flush=True)
            yield _so_far(workers, samples)
    finally:
        for worker in workers:
            worker.close()


def _so_far(
    workers: Sequence[Worker], samples: dict[str, list[dict[str, float]]]
) -> dict[str, dict[str, Any]]:
    return {
        worker.entry.label: {
            "variant": worker.entry.variant,
            "spec": worker.entry.spec._asdict(),
            **worker.about,
            "warm_up": samples[worker.entry.label][0],
            "samples": samples[worker.entry.label][1:],
        }
        for worker in workers
    }


def speed(sample: dict[str, float]) -> float:
    """Tokens per CPU-second of forward and backward."""
    return sample["tokens"] / sample["seconds"]


def ratio(result: dict[str, Any], label: str, reference: str) -> float:
    """How many times as fast `label` is as `reference`: the median over rounds of the ratio in each round."""
    pairs = zip(result["entries"][label]["samples"], result["entries"][reference]["samples"], strict=True)
    return statistics.median(speed(a) / speed(b) for a, b in pairs)


def _line(samples: dict[str, list[dict[str, float]]], index: int) -> str:
    return ", ".join(
        f"{label} {speed(rounds[index]):.0f} tok/s (loss {rounds[index]['loss']:.4f})"
        for label, rounds in samples.items()
    )
