"""Break the core in small ways, one at a time, and see whether a test fails: `make mutants SAMPLE=150 SEED=0`.

Each mutation is made in a copy of the tree. The tests that call its function run, the fastest first, until one fails.
Where all pass, either a test is missing, or the mutation changes nothing that a test could see, and belongs into
`equivalent.toml` with the reason.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from tools.mutants.mutations import Mutation, mutations_of

Callers = dict[str, set[tuple[float, str]]]  # by function, the tests that call it: (seconds, test)
Job = tuple[Mutation, list[str], float]  # with its tests and their seconds
Result = dict[str, Any]  # Any: plain JSON

# The modules of models/ that a training pass goes through.
FORWARD = (
    "attention", "base_pass", "folding", "heads", "losses", "passes", "planned", "prefix_attention", "routed_adapters",
    "routed_layers", "routed_model", "routes", "virtual_inputs", "virtual_stream",
)  # fmt: skip
GLOBS = ("adapters/*.py", "data/pa[cd]*ing.py", "objectives/**/*.py", "training/**/*.py")
# Imported once, before a worker forks for each mutation: they take longer than most tests.
HEAVY = (
    "torch",
    "datasets",
    "peft",
    "sklearn.metrics",
    "torchjd",
    "transformers.models.llama.modeling_llama",
)
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "build", "runs", "model_cards", "*_cache", "__pycache__")
PYTEST = ("-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "-W")
QUIET = "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning"
SECONDS = 30  # of the processor, beside three times what the tests take by themselves
MOMENTS = count(1)


def sample_of(size: int, seed: int) -> list[Mutation]:
    """Mutations of all rooms, as many of each kind."""
    paths = [Path(f"hf_mtl/models/{name}.py") for name in FORWARD]
    paths += [path for glob in GLOBS for path in Path("hf_mtl").glob(glob)]
    kinds: dict[str, list[Mutation]] = defaultdict(list)
    for mutation in (mutation for path in sorted(paths) for mutation in mutations_of(path)):
        kinds[mutation.kind].append(mutation)
    ranked = [sorted(found, key=lambda m: m.rank(seed)) for _, found in sorted(kinds.items())]
    turns = (found[turn] for turn in range(max(map(len, ranked))) for found in ranked if turn < len(found))
    return list(islice((mutation for mutation in turns if mutation.is_python()), size))


def callers_in(file: Path) -> Callers:
    """Read what `calls.py` wrote."""
    callers: Callers = defaultdict(set)
    for call in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
        for function in call["calls"]:
            callers[function.replace(".<locals>", "")].add((call["seconds"], call["test"]))
    return callers


def job_of(mutation: Mutation, callers: Callers, budget: float) -> Job:
    """A mutation with the tests that call its function, the fastest first, up to so many seconds."""
    name: str | None = mutation.function
    found = callers.get(f"{mutation.path}::{name}", set())
    while not found and name is not None:  # a class's body runs when its module is imported
        around = [key for key in callers if key.startswith(f"{mutation.path}::{name}")]
        found, name = (
            set().union(*map(callers.__getitem__, around)),
            name.rpartition(".")[0] if name else None,
        )
    tests: list[str] = []
    total = 0.0
    for seconds, test in sorted(found):
        if total + seconds <= budget:
            tests, total = [*tests, test], total + seconds
    return mutation, tests, total


def warm_up(parent: str) -> None:
    """Prepare a worker: its own copy of the tree, in which it works, and what all tests import."""
    here, tree = str(Path.cwd()), Path(tempfile.mkdtemp(dir=parent)) / "tree"
    shutil.copytree(here, tree, ignore=LEFT_OUT)
    os.chdir(tree)
    sys.path[:] = [str(tree), *(path for path in sys.path if path not in ("", here))]
    sys.dont_write_bytecode = False
    for name in HEAVY:
        importlib.import_module(name)


def result_of(job: Job) -> Result:
    """Run a mutation's tests in the worker's copy."""
    mutation, tests, seconds = job
    file, log = Path(mutation.path), Path("mutant.log")
    source, written = file.read_bytes(), file.stat().st_mtime
    file.write_bytes(mutation.applied(source))
    os.utime(file, (next(MOMENTS),) * 2)  # by which Python tells whether its bytecode is of this text
    try:
        if (child := os.fork()) == 0:
            _test(tests, log, int(SECONDS + 3 * seconds))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        file.write_bytes(source)
        os.utime(file, (written, written))
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    killer = next((line for line in lines if line.startswith(("FAILED", "ERROR"))), "")
    outcome = (
        "no test calls it"
        if not tests
        else {0: "survived"}.get(status, "killed" if status > 0 else "timed out")
    )
    if status == 4 and "ImportError while loading conftest" not in "\n".join(lines):
        raise RuntimeError("pytest could not begin:\n" + "\n".join(lines[-20:]))
    return {
        **vars(mutation),
        "mutation": mutation.key[2],
        "outcome": outcome,
        "tests": len(tests),
        "killer": killer,
    }


def _test(tests: list[str], log: Path, seconds: int) -> NoReturn:
    """In a child: end with pytest's status, or by a signal once the seconds are used."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os._exit(pytest.main([*PYTEST, QUIET, *tests]) if tests else 0)


def survivors_shown(results: list[Result]) -> int:
    """Print those that survived, and a table; returns how many there are."""
    listed = tomllib.loads(Path(__file__).with_name("equivalent.toml").read_text(encoding="utf-8"))
    equivalent = {(entry["path"], entry["line"], entry["mutation"]) for entry in listed["equivalent"]}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    console = Console(width=150, markup=False)
    for result in results:
        key = (result["path"], result["line"], result["mutation"])
        outcome = {"killed": "killed", "timed out": "killed"}.get(result["outcome"], "survived")
        outcome = "equivalent" if outcome == "survived" and key in equivalent else outcome
        for row in (result["path"].split("/")[1], "all"):
            counts[row][outcome] += 1
        if outcome == "survived":
            console.print(
                f"{key[0]}:{result['number']} [{result['outcome']}, {result['tests']} tests] {key[1]}"
            )
            console.print(f"    {key[2]}")
    table = Table("room", *(names := ("killed", "survived", "equivalent")), title=f"{len(results)} mutations")
    for room, row in sorted(counts.items(), key=lambda item: (item[0] == "all", item[0])):
        table.add_row(room, *(str(row[name]) for name in names))
    console.print(table)
    return counts["all"]["survived"]


def main() -> int:
    """Make the sample and run it; each result is written as it comes. 1 if a twentieth or more survived."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants.run", description=__doc__)
    parser.add_argument("--sample", type=int, default=150, help="how many mutations")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--budget", type=float, default=60.0, help="most seconds of tests for a mutation")
    parser.add_argument(
        "--out", type=Path, default=Path("build/mutants"), help="has calls.jsonl; results go there"
    )
    args = parser.parse_args()
    callers, results = callers_in(args.out / "calls.jsonl"), []
    jobs = [job_of(mutation, callers, args.budget) for mutation in sample_of(args.sample, args.seed)]
    file = args.out / f"results-{args.sample}-{args.seed}.jsonl"
    with (
        tempfile.TemporaryDirectory() as parent,
        file.open("w", encoding="utf-8") as lines,
        ProcessPoolExecutor(args.workers, get_context("spawn"), warm_up, (parent,)) as pool,
    ):
        for result in pool.map(result_of, jobs):
            results.append(result)
            lines.write(json.dumps(result) + "\n")
            lines.flush()
    return int(survivors_shown(results) >= 0.05 * len(results))


if __name__ == "__main__":
    sys.exit(main())
