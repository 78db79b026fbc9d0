"""Break the core in small ways, one at a time, and see whether a test fails: `make mutants SAMPLE=150 SEED=0`.

The tests that run the changed lines, as pytest-testmon knows them, run first, and then their whole files: of what the
tests of a file share, testmon knows the first test alone. Where all pass, a test is missing, or the mutation changes
nothing that a test could see: then it belongs into `equivalent.toml`.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate, chain, islice, zip_longest
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

FORWARD = (  # the modules of models/ that a training pass goes through
    "attention", "base_pass", "folding", "heads", "losses", "passes", "planned", "prefix_attention", "routed_adapters",
    "routed_layers", "routed_model", "routes", "virtual_inputs", "virtual_stream",
)  # fmt: skip
GLOBS = ("adapters/*.py", "data/pa[cd]*ing.py", "objectives/**/*.py", "training/**/*.py")
OTHERS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
# What a test rightly does not look at: messages, and what is there for type checkers alone.
MESSAGES = (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom, ast.Assert)
UNSEEN = ("annotation", "returns", "decorator_list", "type_params", "bases")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "build", "runs", "*_cache", "__pycache__")
SELECTED = (
    "--testmon-nocollect",
    "--testmon-forceselect",
)  # the fastest first; one that hangs fails by pytest-timeout
GREEN = (0, 5)  # pytest's status; 5: there was nothing to run
SECONDS = 600  # for each of the two runs of a mutation; one that takes longer was not killed
Piece = ast.expr | ast.stmt


class Mutation(NamedTuple):
    """What names a mutation while other lines of its file change, its kind, and the file with the fault."""

    path: str
    line: str
    change: str
    kind: str
    text: bytes


def with_fields(node: Piece, **fields: object) -> Piece:
    """A copy of a node with other fields."""
    return type(node)(**{**dict(ast.iter_fields(node)), **fields})


def faults_of(node: ast.AST) -> Iterator[tuple[str, Piece, Piece]]:
    """The kinds of fault that a node can have, with the piece that changes and what it becomes."""
    match node:
        case ast.Constant(value=bool(value)):
            yield "constant", node, ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "constant", node, ast.Constant(value + 1 if isinstance(value, int) else value * 2 or 1.0)
        case ast.Compare(ops=[op]) if type(op) in OTHERS:
            yield "comparison", node, with_fields(node, ops=[OTHERS[type(op)]()])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in OTHERS:
            yield "operator", node, with_fields(node, op=OTHERS[type(op)]())
        case ast.Return(value=ast.expr()):
            yield "return", node, ast.Return(None)
        case ast.Expr(value=ast.Call()):
            yield "dropped call", node, ast.Pass()
        case ast.If(test=old) | ast.While(test=old) | ast.IfExp(test=old) | ast.comprehension(ifs=[old, *_]):
            yield "condition", old, ast.UnaryOp(ast.Not(), old)
        case ast.Call(func=ast.Attribute(value=kept), args=[], keywords=[]):
            yield "dropped call", node, kept
        case ast.Call(args=[kept], keywords=[]) if not isinstance(kept, ast.Starred):
            yield "dropped call", node, kept
        case ast.Call(args=[first, second, *others]):
            yield "swapped arguments", node, with_fields(node, args=[second, first, *others])


def pieces_of(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, without messages and types."""
    logs = isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("logger.", "warnings."))
    if not logs and not isinstance(node, MESSAGES):
        yield node
        for name, value in ast.iter_fields(node):
            for child in [] if name in UNSEEN else value if isinstance(value, list) else [value]:
                yield from pieces_of(child) if isinstance(child, ast.AST) else ()


def mutations_of(path: Path) -> Iterator[Mutation]:
    """All that a file can have."""
    source = path.read_bytes()
    lines = source.splitlines(keepends=True)
    starts = list(accumulate(map(len, lines), initial=0))
    for kind, old, new in chain.from_iterable(map(faults_of, pieces_of(ast.parse(source)))):
        first = starts[old.lineno - 1] + old.col_offset
        last = starts[(old.end_lineno or old.lineno) - 1] + (old.end_col_offset or 0)
        put = f"({ast.unparse(new)})" if isinstance(new, ast.expr) else ast.unparse(new)
        text = source[:first] + put.encode() + source[last:]
        line = lines[old.lineno - 1].decode().strip()
        yield Mutation(str(path), line, f"{ast.unparse(old)} -> {ast.unparse(new)}", kind, text)


def sample_of(size: int, seed: int) -> list[Mutation]:
    """Mutations of all rooms, as many of each kind; which ones does not move with other lines."""
    paths = {Path(f"hf_mtl/models/{name}.py") for name in FORWARD}.union(*map(Path("hf_mtl").glob, GLOBS))
    kinds: dict[str, dict[str, Mutation]] = defaultdict(dict)
    for mutation in chain.from_iterable(map(mutations_of, sorted(paths))):
        kinds[mutation.kind][hashlib.sha256(repr((seed, mutation[:3])).encode()).hexdigest()] = mutation
    ranked = ([found[key] for key in sorted(found)] for _, found in sorted(kinds.items()))
    return list(islice(filter(None, chain.from_iterable(zip_longest(*ranked))), size))


def outcome_of(pytest: list[str], tests: list[str], mutation: Mutation) -> str:
    """Break a copy of the tree, and run the tests that see it."""
    with tempfile.TemporaryDirectory() as parent:
        tree = Path(shutil.copytree(".", Path(parent, "tree"), ignore=LEFT_OUT))
        (tree / mutation.path).write_bytes(mutation.text)
        env = {**os.environ, "PYTHONPATH": str(tree)}  # for the processes that tests start
        run = partial(subprocess.run, cwd=tree, env=env, capture_output=True, text=True, timeout=SECONDS)
        try:
            first = run([*pytest, "-rA", *SELECTED, *tests])
            passed = (line.split() for line in first.stdout.splitlines() if line.startswith("PASSED "))
            files = sorted({name.split("::")[0] for _, name, *_ in passed})
            files = [*map(str, Path("tests").rglob(f"test_{Path(mutation.path).stem}.py")), *files]
            survived = first.returncode in GREEN and not (files and run([*pytest, *files]).returncode)
        except subprocess.TimeoutExpired:
            survived = True
    return "survived" if survived else "killed"


def main() -> int:
    """Run a sample, and print what survived. 1 if it is a twentieth or more."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=150, help="how many mutations")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("tests", nargs="+", help="folders and files of tests")
    args = parser.parse_args()
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow and not gpu"]
    # What testmon knows stays in the tree: the next time only what changed since then runs here.
    known = [*pytest, "--testmon", "--testmon-forceselect", "-n", str(args.workers), *args.tests]
    if (code := subprocess.run(known).returncode) not in GREEN:
        return code
    listed = tomllib.loads(Path(__file__).with_name("equivalent.toml").read_text(encoding="utf-8"))
    equivalent = {(entry["path"], entry["line"], entry["mutation"]) for entry in listed["equivalent"]}
    sample = sample_of(args.sample, args.seed)
    tried = [mutation for mutation in sample if mutation[:3] not in equivalent]
    counts, console = Counter(equivalent=len(sample) - len(tried)), Console(markup=False, soft_wrap=True)
    with ThreadPoolExecutor(args.workers) as pool:
        outcomes = pool.map(partial(outcome_of, pytest, args.tests), tried)
        for mutation, outcome in zip(tried, outcomes, strict=True):
            counts[outcome] += 1
            if outcome == "survived":
                console.print(*mutation[:4], sep="\n    ", highlight=False)
    console.print(*(f"{count} {outcome}" for outcome, count in sorted(counts.items())), sep=", ")
    return int(counts["survived"] >= 0.05 * args.sample)


if __name__ == "__main__":
    sys.exit(main())
