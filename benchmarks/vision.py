"""The recipe `vision` with several seeds: accuracy on the test splits, and seconds.

    python benchmarks/vision.py [SEED ...]         # adds each seed's run to benchmarks/results/vision.json

The seed decides the adapters' and heads' first weights and the order of the rows; trunk and splits stay. Runs of
another text of the recipe are dropped from the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from record import add_folder, commit, device, versions, write

from hf_mtl import MultiTaskTrainer, RoutedModel, load_base
from hf_mtl.models import load_processor
from hf_mtl.recipe import build, load_recipe

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "vision" / "recipe.yaml"
SEEDS = (42, 43, 44)


def measured(seed: int) -> dict[str, Any]:
    """One run: each task's accuracy after training, and how long training took."""
    run = build(load_recipe(RECIPE, [f"training.seed={seed}"], output_dir=f"runs/vision-{seed}"))
    base, identity = load_base(run.source, dtype=run.recipe.model.dtype)
    model = RoutedModel(base, identity=identity)
    trainer = MultiTaskTrainer(model, run.args, run.suite, processing_class=load_processor(run.source))
    wall, processor = time.perf_counter(), time.process_time()
    trainer.train()
    seconds = {
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
    }
    figures = trainer.evaluate()
    accuracy = {name: figures[f"eval_{name}/accuracy"] for name in run.suite}
    return {"seed": seed, "rounds": trainer.state.global_step, "accuracy": accuracy, **seconds}


def summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By task, the mean over the runs and its standard error (0 for one run)."""
    told = {}
    for name in runs[0]["accuracy"]:
        values = [run["accuracy"][name] for run in runs]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        told[name] = {"mean": statistics.mean(values), "standard_error": spread / len(values) ** 0.5}
    return told


def machine() -> dict[str, Any]:
    """Where it ran."""
    return {
        "device": f"{device()}, {torch.get_num_threads()} threads",
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[1],
    }


def known_runs(file: Path, recipe: str) -> list[dict[str, Any]]:
    """The runs in the file that were made with the same text of the recipe."""
    found = json.loads(file.read_text()) if file.is_file() else {}
    return list(found["runs"]) if found.get("recipe_sha256") == recipe else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("seeds", type=int, nargs="*", default=SEEDS)
    add_folder(parser)
    asked = parser.parse_args()
    recipe = hashlib.sha256(RECIPE.read_bytes()).hexdigest()
    for seed in asked.seeds:
        latest = measured(seed)
        runs = [run for run in known_runs(asked.folder / "vision.json", recipe) if run["seed"] != seed] + [
            latest
        ]
        runs.sort(key=lambda run: run["seed"])
        result = {
            "name": "vision",
            "recipe": str(RECIPE.relative_to(ROOT)),
            "recipe_sha256": recipe,
            "dtype": "float32",
            "runs": runs,
            "tasks": summary(runs),
            "versions": versions(),
            "machine": machine(),
            "commit": commit(),
        }
        write(asked.folder, "vision", result)
        print(json.dumps(latest))


if __name__ == "__main__":
    main()
